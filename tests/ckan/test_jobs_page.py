"""The sysadmins' page about map previews."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import rq
from ckan import model
from ckan.lib.jobs import add_queue_name_prefix
from ckan.tests import factories

from ckanext.hdxjobs import config, queues, sysadmin
from ckanext.hdxjobs.errors import DetectError, LoadError, PreviewError
from ckanext.hdxjobs.geopreview import attempt, sweep
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine
from ckanext.hdxjobs.geopreview.values import Progress

Call = Callable[..., Any]

PAGE = "/ckan-admin/hdxjobs-jobs"
ERROR_PAGE = f"{PAGE}/error/unreadable"
RETRY = f"{PAGE}/retry/not-geodata"
GEOJSON = {"url": "https://example.org/places.geojson", "format": "GeoJSON"}


@pytest.fixture
def seen(people: dict[str, Any], app: Any) -> Callable[[], str]:
    """The page as a sysadmin sees it."""
    return lambda: str(app.get(PAGE, headers=people["sysadmin"]).body)


@pytest.fixture
def resource(people: dict[str, Any], call: Call) -> dict[str, Any]:
    """Its preview is queued."""
    dataset = factories.Dataset(owner_org=people["org"]["id"])
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], name="Wells", **GEOJSON)
    return made


def failed(resource: dict[str, Any], error: PreviewError) -> dict[str, Any]:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, error)
    model.Session.remove()
    return resource


@pytest.fixture
def unsupported(resource: dict[str, Any]) -> dict[str, Any]:
    """Its preview ended as unsupported."""
    return failed(resource, DetectError("not-geodata"))


@pytest.fixture
def retrying(resource: dict[str, Any]) -> dict[str, Any]:
    """Its preview is tried again later."""
    return failed(resource, LoadError("database-unavailable"))


@pytest.fixture
def damaged(resource: dict[str, Any]) -> dict[str, Any]:
    """Its file could not be read."""
    return failed(resource, DetectError("unreadable", format="KML", reason="no closing tag"))


@pytest.fixture
def worker(site: None) -> Iterator[rq.Worker]:
    """A worker of geo_q, that does nothing."""
    made = rq.Worker([add_queue_name_prefix(queues.GEO)], connection=redis.Redis.from_url(config.redis_url()))
    made.register_birth()
    made.set_state("idle")
    yield made
    made.register_death()


def row_of(page: str, attribute: str) -> str:
    """The text of the table's row with a data attribute."""
    found = re.search(rf"<tr [^>]*{attribute}[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found.group(1)))


def test_a_site_where_nothing_happens_says_so(seen: Callable[[], str]) -> None:
    assert seen().count("<p>Nothing.</p>") == 2


def test_a_part_that_is_out_of_order_is_told_above_all_else(site: None, seen: Callable[[], str]) -> None:
    page = seen()
    assert 'data-hdxjobs-fault="geo_q"' in page
    assert re.search(r'data-hdxjobs-jobs-summary="Out of order: .*geo_q', page)


def test_the_page_tells_when_the_last_sweep_ended(site: None, seen: Callable[[], str]) -> None:
    sweep.run()
    assert re.search(r"The last sweep ended \d+ seconds? ago", seen())


def test_queues_tell_their_length_and_workers(
    resource: dict[str, Any], worker: rq.Worker, seen: Callable[[], str]
) -> None:
    page = seen()
    assert re.search(
        r"geo_q 1 \S+ \(\d+\): free, heard of \d+ seconds? ago", row_of(page, 'data-hdxjobs-queue="geo_q"')
    )
    assert "ckan jobs worker analytics_q" in row_of(page, 'data-hdxjobs-queue="analytics_q"')


def test_previews_are_counted_by_state_and_the_oldest_is_told(
    resource: dict[str, Any], seen: Callable[[], str]
) -> None:
    page = seen()
    assert re.search(r'data-hdxjobs-count="queued">waiting: <strong>1<', page)
    assert re.search(r"The oldest has waited for \d+ seconds?\.", page)


def test_what_runs_is_told_with_step_and_progress(resource: dict[str, Any], seen: Callable[[], str]) -> None:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.beat(claim, phase="load", progress=Progress(1, 4, "features"))
    told = row_of(seen(), f'data-hdxjobs-running="{resource["id"]}"')
    assert re.search(r"Wells loading 25 % \d+ 1", told)


def test_failures_are_grouped_by_error_with_its_message(
    unsupported: dict[str, Any], seen: Callable[[], str]
) -> None:
    told = row_of(seen(), 'data-hdxjobs-failure="not-geodata"')
    assert "not-geodata This file does not contain geographic data" in told
    assert "Try all again" in told


def test_what_is_tried_again_by_itself_is_told_with_its_time(
    retrying: dict[str, Any], seen: Callable[[], str]
) -> None:
    told = row_of(seen(), 'data-hdxjobs-failure="database-unavailable" data-state="retrying"')
    assert re.search(r"tried again later – the next in \d+ seconds", told)


def test_the_button_does_not_wait_for_the_time_of_a_retry(
    retrying: dict[str, Any], people: dict[str, Any], app: Any, row: Call
) -> None:
    app.post(f"{PAGE}/retry/database-unavailable", headers=people["sysadmin"], follow_redirects=False)
    assert (row(retrying["id"])["state"], row(retrying["id"])["generation"]) == ("queued", 2)


def test_an_error_of_another_release_is_told_by_its_code(
    unsupported: dict[str, Any], seen: Callable[[], str]
) -> None:
    with engine().begin() as connection:
        connection.execute(PREVIEW.update().values(error_code="of-tomorrow"))
    assert "of-tomorrow" in row_of(seen(), 'data-hdxjobs-failure="of-tomorrow"')


def test_an_error_has_a_page_of_its_resources_and_what_they_say(
    damaged: dict[str, Any], people: dict[str, Any], app: Any
) -> None:
    page = str(app.get(ERROR_PAGE, headers=people["sysadmin"]).body)
    assert re.search(rf'data-hdxjobs-failed="{damaged["id"]}".*>Wells<', page, flags=re.DOTALL)
    assert "The file looks like KML, but it is damaged or cut off: no closing tag" in page


def test_a_page_of_one_error_shows_the_newest_and_counts_the_others(
    damaged: dict[str, Any], people: dict[str, Any], call: Call, app: Any, monkeypatch: Any
) -> None:
    newer = call("resource_create", package_id=damaged["package_id"], **GEOJSON)
    claim = attempt.claim(newer["id"], 1)
    assert claim is not None
    attempt.fail(claim, DetectError("unreadable", format="KML", reason=""))
    monkeypatch.setattr(sysadmin, "FAILED", 1)
    page = str(app.get(ERROR_PAGE, headers=people["sysadmin"]).body)
    assert (newer["id"] in page, damaged["id"] in page, "And more: 1" in page) == (True, False, True)


def test_an_error_that_nobody_knows_has_no_page(people: dict[str, Any], app: Any) -> None:
    answer = app.get(f"{PAGE}/error/none", headers=people["sysadmin"], expect_errors=True)
    assert answer.status_code == 404


def test_a_button_asks_again_for_all_with_the_same_error(
    unsupported: dict[str, Any], people: dict[str, Any], call: Call, app: Any, row: Call
) -> None:
    other = call("resource_create", package_id=unsupported["package_id"], **GEOJSON)
    claim = attempt.claim(other["id"], 1)
    assert claim is not None
    attempt.fail(claim, LoadError("internal"))
    answer = app.post(RETRY, headers=people["sysadmin"], follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"].endswith(PAGE)) == (302, True)
    assert (row(unsupported["id"])["state"], row(other["id"])["state"]) == ("queued", "failed")


def test_a_button_that_would_take_too_long_leaves_the_rest_for_the_next_time(
    unsupported: dict[str, Any], people: dict[str, Any], call: Call, app: Any, row: Call, monkeypatch: Any
) -> None:
    other = call("resource_create", package_id=unsupported["package_id"], **GEOJSON)
    claim = attempt.claim(other["id"], 1)
    assert claim is not None
    attempt.fail(claim, DetectError("not-geodata"))
    monkeypatch.setattr(sysadmin, "RETRY_S", -1.0)
    page = app.post(RETRY, headers=people["sysadmin"]).body
    assert "Previews that are made again: 1 of 2" in page
    assert (row(unsupported["id"])["state"], row(other["id"])["state"]) == ("queued", "unsupported")


@pytest.mark.parametrize("visitor", ["anonymous", "editor"])
def test_pages_and_button_are_for_sysadmins_only(
    unsupported: dict[str, Any], people: dict[str, Any], app: Any, row: Call, visitor: str
) -> None:
    page = app.get(PAGE, headers=people[visitor], expect_errors=True)
    error_page = app.get(ERROR_PAGE, headers=people[visitor], expect_errors=True)
    button = app.post(RETRY, headers=people[visitor], expect_errors=True)
    assert {page.status_code, error_page.status_code, button.status_code} == {403}
    assert row(unsupported["id"])["state"] == "unsupported"


@pytest.mark.ckan_config("WTF_CSRF_ENABLED", True)
def test_a_forged_form_changes_nothing(unsupported: dict[str, Any], browser: Any, row: Call) -> None:
    user = factories.Sysadmin(password="RandomPassword123")
    model.Session.remove()
    browser.log_in(user, "RandomPassword123")
    assert browser.post(RETRY, data={}, follow_redirects=False).status_code == 400
    assert row(unsupported["id"])["state"] == "unsupported"


def test_without_redis_the_page_tells_of_the_previews(
    unsupported: dict[str, Any], seen: Callable[[], str], ckan_config: Any, monkeypatch: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")
        page = seen()
    assert "Redis does not answer: ConnectionError" in row_of(page, 'data-hdxjobs-queue="geo_q"')
    assert 'data-hdxjobs-failure="not-geodata"' in page
