"""Doors: browsers' beacons, the action, the command line, the sysadmins' page, and other extensions."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ckan.plugins import toolkit as tk
from ckan.tests import factories
from example_analytics import ExampleAnalytics
from outbox_view import Events, get

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.analytics import beacon as beacons
from ckanext.hdxjobs.analytics import capture, health, spool
from ckanext.hdxjobs.analytics.outbox import Parcel
from ckanext.hdxjobs.analytics.sinks import Receipt
from ckanext.hdxjobs.cli import hdxjobs

Call = Callable[..., Any]

OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
PAGE = {"url": "http://test.ckan.net/dataset/wells?q=secret", "referrer": "https://news.example/story"}


@pytest.fixture
def dataset(site: None, call: Call, events: Events) -> dict[str, Any]:
    org = factories.Organization(name="water-board")
    made: dict[str, Any] = call("package_create", name="wells", owner_org=org["id"])
    events.clear()
    return made


def beacon(
    app: Any, *events: dict[str, Any], headers: dict[str, str] | None = None, body: bytes = b""
) -> int:
    sent = body or json.dumps({"page": PAGE, "events": events}).encode()
    return get(app, "/hdxjobs/events", {**OWN_PAGE, **(headers or {})}, method="POST", data=sent)


def view(**properties: Any) -> dict[str, Any]:
    return {"name": "page view", "properties": properties}


def test_a_page_view_is_told_by_id_and_named_by_the_server(
    app: Any, dataset: dict[str, Any], events: Events
) -> None:
    status = beacon(
        app, view(**{"dataset id": dataset["id"], "dataset name": "a lie", "page title": "Wells"})
    )

    assert status == 204
    assert events.only() == {
        "dataset id": dataset["id"],
        "dataset name": "wells",
        "dataset availability": "public",
        "org id": dataset["organization"]["id"],
        "org name": "water-board",
        "page title": "Wells",
        "authenticated": False,
        "event source": "web",
        "server side": False,
        "$browser": "Firefox",
        "$browser_version": "127",
        "$os": "Linux",
        "$current_url": "http://test.ckan.net/dataset/wells",
        "referer url": "https://news.example",
    }


def test_a_name_without_an_id_is_not_believed(app: Any, events: Events) -> None:
    beacon(app, view(**{"org name": "a lie", "group names": ["another"]}))

    assert not {"group names", "org name"} & set(events.only())


def test_an_id_that_leads_nowhere_is_not_stored(app: Any, events: Events) -> None:
    beacon(app, view(**{"dataset id": "no-such-dataset", "org name": "a lie"}))

    assert not {"dataset id", "org name"} & set(events.only())


def test_a_view_of_a_private_dataset_names_nothing(
    app: Any, call: Call, dataset: dict[str, Any], events: Events
) -> None:
    call("package_patch", id=dataset["id"], private=True)
    events.clear()

    beacon(app, view(**{"dataset id": dataset["id"], "page title": "Wells"}))

    assert "wells" not in str(events.only()).lower()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, b"", 403),
        ({"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, b"", 403),
        ({"Sec-Fetch-Site": ""}, b"", 403),
        ({"Content-Type": "text/plain"}, b"", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"", 415),
        ({}, b'{"page": {}, "events": "' + b"x" * 20_000 + b'"}', 413),
        ({}, b"not json", 400),
        ({}, b'{"page": {}, "events": [{"name": "dataset create"}]}', 400),
    ],
    ids=[
        "other site",
        "other origin",
        "no origin",
        "plain text",
        "form",
        "too large",
        "no json",
        "not a browser's",
    ],
)
def test_a_beacon_that_is_not_ours_is_refused(
    app: Any, events: Events, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert beacon(app, view(), headers=headers, body=body) == status
    assert events.names() == []


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.browser_events_a_minute", 5)
def test_a_visitor_who_reports_too_much_is_slowed(
    app: Any, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacons, "time", SimpleNamespace(monotonic=lambda: 100.0))
    statuses = [beacon(app, view(), view()) for _ in range(4)]

    assert statuses == [204, 204, 429, 429]
    assert len(events.rows()) == 4


@pytest.mark.parametrize(
    "headers",
    [{"DNT": "1"}, {"Sec-GPC": "1"}, {"User-Agent": "Googlebot/2.1"}],
    ids=["dnt", "gpc", "crawler"],
)
def test_a_beacon_of_whom_nothing_may_be_kept_leaves_nothing(
    app: Any, events: Events, headers: dict[str, str]
) -> None:
    assert beacon(app, view(), headers=headers) == 204
    assert events.names() == []


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.browser_events", False)
def test_switched_off_pages_carry_no_script_and_no_door(app: Any, events: Events) -> None:
    assert beacon(app, view()) == 404
    assert "hdxjobs-events" not in app.get("/about").body


def test_a_page_that_there_is_not_reports_nothing(app: Any, call: Call, dataset: dict[str, Any]) -> None:
    call("package_patch", id=dataset["id"], private=True)

    body = app.get("/dataset/wells/resource/none", status=404).body

    assert 'data-module="hdxjobs-events"' not in body


def test_pages_say_what_their_script_may_report(app: Any, dataset: dict[str, Any]) -> None:
    body = app.get("/dataset/wells").body

    assert 'data-module="hdxjobs-events"' in body
    assert dataset["id"] in body[body.index('data-module="hdxjobs-events"') :]


def test_a_list_of_datasets_says_what_was_searched(app: Any, dataset: dict[str, Any]) -> None:
    body = app.get("/dataset/?q=wells&res_format=CSV").body

    told = body[body.index("data-module-search") :]
    assert all(text in told for text in ("number of results", "search term", "format filters"))


def test_a_program_tracks_an_event_of_the_catalogue(
    dataset: dict[str, Any], call: Call, events: Events
) -> None:
    told = call(
        "hdx_event_track", name="share", properties={"dataset id": dataset["id"], "share type": "email"}
    )

    assert told == {"name": "share", "tracked": True}
    assert events.only()["dataset name"] == "wells"


@pytest.mark.parametrize(
    "data",
    [{"name": "nothing"}, {"name": "share", "properties": {"no": 1}}, {"name": "share", "properties": "x"}],
)
def test_a_program_tracks_nothing_else(events: Events, call: Call, data: dict[str, Any]) -> None:
    with pytest.raises(tk.ValidationError):
        call("hdx_event_track", **data)


def test_only_sysadmins_track_by_the_api(site: None) -> None:
    user = factories.User()

    with pytest.raises(tk.NotAuthorized):
        tk.get_action("hdx_event_track")({"user": user["name"]}, {"name": "share"})


@pytest.mark.usefixtures("provide_plugin", "with_plugins")
@pytest.mark.provide_plugin("example_analytics", ExampleAnalytics)
@pytest.mark.ckan_config("ckan.plugins", "hdxjobs example_analytics")
class TestAnotherExtension:
    def test_it_adds_its_flags(self, events: Events) -> None:
        group, author = factories.Group(name="cod"), factories.Sysadmin()
        events.clear()
        tk.get_action("package_create")(
            {"ignore_auth": True, "user": author["name"]},
            {"name": "borders", "groups": [{"id": group["id"]}]},
        )

        assert events.only()["is cod"] is True

    def test_it_vetoes_an_event(self, call: Call, events: Events) -> None:
        org = factories.Organization(name="test-organization")
        events.clear()
        call("package_create", name="trial", owner_org=org["id"])

        assert events.names() == []

    def test_its_fault_costs_nothing_but_its_flags(self, call: Call, events: Events) -> None:
        made = call("package_create", name="broken")
        events.clear()
        call("package_patch", id=made["id"], notes="new")

        assert events.names() == ["dataset update"]

    def test_browsers_report_its_events(self, app: Any, events: Events) -> None:
        status = beacon(app, {"name": "message sent", "properties": {"message type": "contact contributor"}})

        assert (status, events.only()["message type"]) == (204, "contact contributor")


def parcels(count: int) -> list[Parcel]:
    return [
        Parcel(f"00000000-0000-4000-8000-{number:012d}", "page view", "", "", {"layers": number}, ("file",))
        for number in range(count)
    ]


@pytest.fixture
def outbox(events: Events) -> Any:
    return events._outbox


def test_the_command_line_lists_what_waits(cli: Any, outbox: Any) -> None:
    outbox.put(parcels(3))

    said = cli.invoke(hdxjobs, ["events", "list"]).output

    assert "file: ok; 3 waiting" in said
    assert said.count("page view") == 3


def test_the_command_line_exports_events_and_keeps_them(
    cli: Any, outbox: Any, events: Events, tmp_path: Any
) -> None:
    outbox.put(parcels(3))
    cli.invoke(hdxjobs, ["events", "export", "--output", str(tmp_path / "out")])

    exported = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row["properties"] for row in exported] == [{"layers": 0}, {"layers": 1}, {"layers": 2}]
    assert len(events.rows()) == 3


def bury(outbox: Any) -> None:
    outbox.put(parcels(1))
    claimed = outbox.claim("file", limit=1)
    outbox.settle("file", claimed, delivered=[], refused={claimed.envelopes[0].event_id: "no"})


def test_the_command_line_revives_dead_letters(cli: Any, outbox: Any, events: Events) -> None:
    bury(outbox)

    assert "1 dead letters" in cli.invoke(hdxjobs, ["events", "retry"]).output
    assert [row["dead_at"] for row in events.rows()] == [None]


@pytest.mark.parametrize("command", ["list --sink", "retry --sink", "purge --yes --sink", "deliver"])
def test_the_command_line_says_that_there_is_no_such_sink(cli: Any, outbox: Any, command: str) -> None:
    done = cli.invoke(hdxjobs, ["events", *command.split(), "mixpenal"])

    assert done.exit_code == 1
    assert "There is no sink named mixpenal; there are: file" in done.output


def test_a_retry_rings_for_a_sink_that_rests(cli: Any, outbox: Any) -> None:
    outbox.put(parcels(1))
    queues.hush(capture.bell_key("file"), seconds=60)
    queued = len(queues.waiting_keys(queues.ANALYTICS))
    cli.invoke(hdxjobs, ["events", "retry"])

    assert len(queues.waiting_keys(queues.ANALYTICS)) == queued + 1


def test_the_command_line_purges_dead_letters_only(cli: Any, outbox: Any, events: Events) -> None:
    bury(outbox)
    outbox.put(parcels(2)[1:])

    assert "1 events deleted" in cli.invoke(hdxjobs, ["events", "purge", "--yes"]).output
    assert len(events.rows()) == 1


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.sinks", "mixpanel nonsense")
def test_the_command_line_says_what_a_sink_lacks(cli: Any, site: None) -> None:
    done = cli.invoke(hdxjobs, ["events", "check"])

    assert done.exit_code == 1
    assert "mixpanel: " in done.output
    assert "there is no sink named 'nonsense'" in done.output


def test_the_command_line_counts_the_site(cli: Any, dataset: dict[str, Any], events: Events) -> None:
    cli.invoke(hdxjobs, ["events", "stats"])
    assert events.names() == ["hdx stats"]

    told = events.only()
    assert (told["datasets total"], told["orgs with datasets"], told["previews ready"]) == (1, 1, 0)


def test_the_command_line_delivers_to_the_file(
    cli: Any, outbox: Any, events: Events, ckan_config: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.file.path", str(tmp_path / "events.jsonl"))
    outbox.put(parcels(3))
    cli.invoke(hdxjobs, ["events", "deliver"])

    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 3
    assert events.rows() == []


def test_the_sweep_carries_the_spool_into_the_outbox(cli: Any, events: Events) -> None:
    folder = config.analytics_settings().spool_folder
    spool.write(folder, [parcel.stamped(time.time()) for parcel in parcels(4)], max_bytes=10**6)
    cli.invoke(hdxjobs, ["sweep"])

    assert len(events.rows()) == 4
    assert spool.size(folder) == 0


def test_the_sysadmins_page_shows_how_each_sink_fares(app: Any, outbox: Any) -> None:
    bury(outbox)
    outbox.put(parcels(4)[1:])
    health.pause(outbox, "file", Receipt(pause_s=60, error="HTTP 503"))
    admin = factories.SysadminWithToken()

    page = app.get("/ckan-admin/hdxjobs-events", headers={"Authorization": admin["token"]})

    assert 'data-hdxjobs-sink="file" data-state="paused"' in page.body
    assert "HTTP 503" in page.body
    # On a phone the table scrolls, and not the page.
    assert re.search(r'<div class="table-responsive">\s*<table', page.body)


def test_the_sysadmins_page_draws_what_was_delivered(app: Any, outbox: Any) -> None:
    outbox.put(parcels(4))
    claimed = outbox.claim("file", limit=4)
    outbox.settle("file", claimed, delivered=[one.event_id for one in claimed.envelopes], refused={})
    admin = factories.SysadminWithToken()

    page = app.get("/ckan-admin/hdxjobs-events", headers={"Authorization": admin["token"]})

    assert "page view 4</title>" in page.body


def test_the_sysadmins_page_is_for_sysadmins(app: Any, site: None) -> None:
    assert get(app, "/ckan-admin/hdxjobs-events") == 403
