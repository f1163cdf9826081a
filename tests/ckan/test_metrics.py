"""What Prometheus reads, read by Prometheus' own parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outbox_view import Events
from prometheus_client.parser import text_string_to_metric_families

from ckanext.hdxjobs import metrics, queues
from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview import attempt, footprints, sweep
from ckanext.hdxjobs.geopreview.tally import Counts

Call = Callable[..., Any]
Seen = Callable[[], dict[tuple[str, str], float]]

PATH, TOKEN = "/hdxjobs/metrics", "a-token-of-prometheus"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
GEOJSON = {"url": "https://example.org/places.geojson", "format": "GeoJSON"}
DOCS = Path(__file__).parents[2] / "docs/metrics.rst"

on = pytest.mark.ckan_config("ckanext.hdxjobs.metrics.path", PATH)
with_token = pytest.mark.ckan_config("ckanext.hdxjobs.metrics.token", TOKEN)


@pytest.fixture
def seen(site: None) -> Seen:
    """The metrics by name and label; without the door, which has tests of its own."""

    def read() -> dict[tuple[str, str], float]:
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(metrics.text().decode())
            for sample in family.samples
        }

    return read


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> str:
    """Its preview is queued."""
    return str(call("resource_create", package_id=dataset["id"], **GEOJSON)["id"])


def test_previews_are_counted_by_state(resource: str, seen: Seen) -> None:
    found = seen()
    assert (found["hdxjobs_previews", "queued"], found["hdxjobs_previews", "ready"]) == (1, 0)


def test_running_previews_are_counted_by_phase(resource: str, seen: Seen) -> None:
    claim = attempt.claim(resource, 1)
    assert claim is not None
    before = seen()["hdxjobs_previews_running", "beginning"]
    attempt.beat(claim, phase="load", progress=None)
    found = seen()
    assert (before, found["hdxjobs_previews_running", "load"]) == (1, 1)
    assert found["hdxjobs_previews_running", "beginning"] == 0


def test_failures_are_counted_by_code(resource: str, seen: Seen) -> None:
    claim = attempt.claim(resource, 1)
    assert claim is not None
    attempt.fail(claim, DetectError("not-geodata"))
    assert seen()["hdxjobs_previews_failed", "not-geodata,unsupported"] == 1


def test_what_waits_is_told_with_the_age_of_the_oldest(resource: str, seen: Seen) -> None:
    found = seen()
    assert found["hdxjobs_previews_waiting", ""] == 1
    assert found["hdxjobs_previews_oldest_waiting_seconds", ""] > 0


def test_queues_tell_their_length_and_that_nobody_listens(resource: str, seen: Seen) -> None:
    found = seen()
    assert (found["hdxjobs_queue_jobs", "geo_q"], found["hdxjobs_queue_workers", "geo_q"]) == (1, 0)


def test_the_age_of_the_sweep_is_told_once_there_was_one(
    site: None, seen: Seen, reset_redis: Callable[..., Any]
) -> None:
    reset_redis("*hdxjobs:last:*")
    before = ("hdxjobs_sweep_age_seconds", "") in seen()
    sweep.run()
    assert (before, ("hdxjobs_sweep_age_seconds", "") in seen()) == (False, True)


def test_tiles_are_counted_by_source_and_by_their_milliseconds(
    site: None, seen: Seen, reset_redis: Callable[..., Any]
) -> None:
    reset_redis("*hdxjobs:tiles:*")
    counts = Counts()
    counts.add((3, 1, 1), "stored", 1.5, 1000)
    counts.add((3, 1, 2), "memory", 0.2, 500)
    for layer_id in ("a" * 20, "b" * 20):
        footprints.write(queues.connection(), {(layer_id, 3): counts})
    found = seen()
    assert (found["hdxjobs_tiles_total", "stored"], found["hdxjobs_tile_sent_bytes_total", ""]) == (2, 3000)
    by_length = [found["hdxjobs_tile_duration_seconds_bucket", le] for le in ("0.001", "0.002", "+Inf")]
    assert by_length == [2, 4, 4]


def test_events_are_counted_by_sink(events: Events, call: Call, seen: Seen) -> None:
    call("package_create", name="wells")
    waiting = {key: value for key, value in seen().items() if key[0] == "hdxjobs_events_waiting"}
    assert list(waiting.values()) == [len(events.rows())] != [0]


def test_without_redis_the_previews_are_told_all_the_same(
    resource: str, seen: Seen, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")
    found = seen()
    parts = {part: found["hdxjobs_part_up", part] for part in metrics.PARTS}
    assert parts == {"previews": 1, "queues": 0, "tiles": 0, "events": 1}
    assert found["hdxjobs_previews", "queued"] == 1


def test_each_metric_is_in_the_manual(site: None) -> None:
    sweep.run()
    manual = DOCS.read_text()
    names = re.findall(r"^# TYPE (\S+)", metrics.text().decode(), re.M)
    assert [name for name in names if f"``{name}``" not in manual] == []


def test_there_is_no_page_before_it_is_asked_for(people: dict[str, Any], app: Any) -> None:
    assert app.get(PATH, headers=people["sysadmin"], expect_errors=True).status_code == 404


@on
@with_token
def test_prometheus_with_its_token_reads_the_page(site: None, app: Any) -> None:
    answer = app.get(PATH, headers=BEARER)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "hdxjobs_part_up" in answer.body


@on
@with_token
def test_sysadmins_read_the_page_and_nobody_else(people: dict[str, Any], app: Any) -> None:
    wrong = {"Authorization": "Bearer another"}
    visitors = [people["sysadmin"], people["anonymous"], people["editor"], wrong]
    statuses = [app.get(PATH, headers=headers, expect_errors=True).status_code for headers in visitors]
    assert statuses == [200, 403, 403, 403]


@on
def test_an_empty_token_is_nobodys(site: None, app: Any) -> None:
    answer = app.get(PATH, headers={"Authorization": "Bearer "}, expect_errors=True)
    assert answer.status_code == 403


def told_to_ckan(path: str, authorization: str) -> dict[str, Any]:
    """What CKAN gets of a request."""
    told: dict[str, Any] = {}
    gate = metrics.TokenGate(lambda environ, _: told.update(environ) or [])
    list(gate({"PATH_INFO": path, "HTTP_AUTHORIZATION": authorization}, lambda *_: lambda _: None))
    return told


@on
@with_token
@pytest.mark.parametrize("token", [TOKEN, "another-token"])
def test_ckan_which_would_log_how_it_begins_does_not_see_the_token(with_plugins: Any, token: str) -> None:
    assert token not in str(told_to_ckan(PATH, f"Bearer {token}"))


@on
@with_token
@pytest.mark.parametrize(("path", "scheme"), [("/dataset", "Bearer "), (PATH, "")])
def test_what_is_not_for_the_metrics_is_left_to_ckan(with_plugins: Any, path: str, scheme: str) -> None:
    assert told_to_ckan(path, scheme + TOKEN)["HTTP_AUTHORIZATION"] == scheme + TOKEN
