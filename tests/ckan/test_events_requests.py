"""Requests: what counts as a download or a call, once each, and what must leave no trace."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ckan.tests import factories
from outbox_view import Events, get
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs.analytics import salts

Call = Callable[..., Any]


@pytest.fixture
def org(site: None) -> dict[str, Any]:
    made: dict[str, Any] = factories.Organization()
    return made


@pytest.fixture
def dataset(org: dict[str, Any], call: Call) -> dict[str, Any]:
    made: dict[str, Any] = call("package_create", name="wells", owner_org=org["id"])
    return made


@pytest.fixture
def upload(dataset: dict[str, Any], call: Call, events: Events) -> dict[str, Any]:
    file = FileStorage(io.BytesIO(b"a,b\n" * 100), filename="table.csv")
    made: dict[str, Any] = call(
        "resource_create", package_id=dataset["id"], name="table", format="CSV", upload=file
    )
    events.clear()
    return made


@pytest.fixture
def link(dataset: dict[str, Any], call: Call, events: Events) -> dict[str, Any]:
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], url="https://example.org/t.csv")
    events.clear()
    return made


def path(resource: dict[str, Any]) -> str:
    return f"/dataset/{resource['package_id']}/resource/{resource['id']}/download/table.csv"


def test_a_download_tells_what_the_original_told(
    app: Any, org: dict[str, Any], dataset: dict[str, Any], upload: dict[str, Any], events: Events
) -> None:
    get(app, path(upload), {"Referer": "https://news.example/story?id=5"})

    assert events.only() == {
        "resource id": upload["id"],
        "resource name": "table",
        "file format": "CSV",
        "dataset id": dataset["id"],
        "dataset name": "wells",
        "dataset availability": "public",
        "org id": org["id"],
        "org name": org["name"],
        "authenticated": False,
        "event source": "direct",
        "server side": True,
        "$browser": "Firefox",
        "$browser_version": "127",
        "$os": "Linux",
        "$current_url": "http://test.ckan.net" + path(upload),
        "referer url": "https://news.example",
    }


DOWNLOADS: dict[str, tuple[dict[str, str], str, int]] = {
    "a plain one": ({}, "GET", 1),
    "by curl": ({"User-Agent": "curl/8.5.0"}, "GET", 1),
    "the first range": ({"Range": "bytes=0-99"}, "GET", 1),
    "a later range": ({"Range": "bytes=100-199"}, "GET", 0),
    "a look at the headers": ({}, "HEAD", 0),
    "a crawler": ({"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "GET", 0),
    "nobody in particular": ({"User-Agent": ""}, "GET", 0),
    "fetched ahead": ({"Sec-Purpose": "prefetch"}, "GET", 0),
    "do not track": ({"DNT": "1"}, "GET", 0),
    "global privacy control": ({"Sec-GPC": "1"}, "GET", 0),
}


@pytest.mark.parametrize(("headers", "method", "count"), DOWNLOADS.values(), ids=DOWNLOADS.keys())
def test_a_download_counts_once_if_it_is_one(
    app: Any, upload: dict[str, Any], events: Events, headers: dict[str, str], method: str, count: int
) -> None:
    get(app, path(upload), headers, method=method)

    assert len(events.rows()) == count


def test_a_copy_that_is_still_fresh_is_no_download(app: Any, upload: dict[str, Any], events: Events) -> None:
    first = app.get(path(upload), headers={"User-Agent": "curl/8"})
    first.close()
    events.clear()

    status = get(app, path(upload), {"If-None-Match": first.headers["ETag"]})

    assert (status, events.names()) == (304, [])


def test_twenty_downloads_are_twenty_events(app: Any, upload: dict[str, Any], events: Events) -> None:
    for _ in range(20):
        get(app, path(upload))

    assert events.names() == ["resource download"] * 20


def test_a_redirect_to_where_the_file_is_counts(app: Any, link: dict[str, Any], events: Events) -> None:
    status = get(app, f"/dataset/{link['package_id']}/resource/{link['id']}/download")

    assert (status, events.names()) == (302, ["resource download"])


def test_a_download_that_is_refused_does_not_count(
    app: Any, call: Call, upload: dict[str, Any], events: Events
) -> None:
    call("package_patch", id=upload["package_id"], private=True)
    events.clear()

    assert get(app, path(upload)) in (403, 404)
    assert events.names() == []


def test_a_visitor_is_one_all_day_and_told_from_others(
    app: Any, upload: dict[str, Any], events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salts, "time", SimpleNamespace(monotonic=lambda: 100.0))
    for agent in ("curl/8", "curl/8", "wget/1"):
        get(app, path(upload), {"User-Agent": agent})

    ann, ann_again, bob = (row["visitor_id"] for row in events.rows())
    assert ann == ann_again != bob


def test_neither_address_nor_agent_is_stored(app: Any, upload: dict[str, Any], events: Events) -> None:
    get(app, path(upload), {"User-Agent": "curl/8.5.0-very-special"})

    told = str(events.rows())
    assert "127.0.0.1" not in told
    assert "very-special" not in told


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.ip", "cut")
@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.ip_header", "X-Real-IP")
def test_a_site_may_keep_the_visitors_network(app: Any, upload: dict[str, Any], events: Events) -> None:
    get(app, path(upload), {"X-Real-IP": "203.0.113.77"})

    assert events.only()["ip"] == "203.0.113.0"


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.consent", "cookie:stats=yes")
def test_a_site_may_ask_for_consent_first(app: Any, upload: dict[str, Any], events: Events) -> None:
    get(app, path(upload))
    get(app, path(upload), {"Cookie": "stats=yes"})

    assert events.names() == ["resource download"]


def test_a_program_that_calls_the_api_is_an_event(app: Any, events: Events) -> None:
    get(app, "/api/3/action/package_search?q=secret", {"User-Agent": "python-requests/2.32"})

    told = events.only()
    assert (told["action name"], told["event source"], told["$browser"]) == (
        "package_search",
        "api",
        "python-requests",
    )
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("headers", "api_path"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, "/api/3/action/package_search"),
        ({"User-Agent": "Googlebot/2.1"}, "/api/3/action/package_search"),
        ({}, "/api/3/action/status_show"),
        ({}, "/api/3/action/no_such_action"),
    ],
    ids=["own page", "crawler", "watching the site", "unknown action"],
)
def test_a_call_that_is_no_use_of_the_data_is_no_event(
    app: Any, events: Events, headers: dict[str, str], api_path: str
) -> None:
    get(app, api_path, headers)

    assert events.names() == []


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.api_calls", False)
def test_calls_of_the_api_may_be_left_out(app: Any, events: Events) -> None:
    get(app, "/api/3/action/package_search")

    assert events.names() == []


def test_the_first_login_is_an_event_and_the_second_is_not(app: Any, events: Events) -> None:
    user = factories.User(password="correct horse")
    form = {"login": user["name"], "password": "correct horse"}
    names = []
    for _ in range(2):
        events.clear()
        response = app.post("/user/login", data=form, headers={"User-Agent": "curl/8"}, follow_redirects=True)
        response.close()
        names.append(events.names())
        app.get("/user/_logout", headers={"User-Agent": "curl/8"}).close()

    assert names == [["first login"], []]
