"""The ways around a database and a Redis that do not answer; and the events of previews."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rq
from ckan.lib.jobs import add_queue_name_prefix
from outbox_view import Events, get
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.analytics import job, spool
from ckanext.hdxjobs.analytics.outbox import Parcel, dumped
from ckanext.hdxjobs.geopreview import job as geo

Call = Callable[..., Any]

API = "/api/3/action/package_search"


def waiting() -> list[Any]:
    """The jobs on analytics_q: (function, arguments)."""
    with queues.connection() as client:
        queue = rq.Queue(add_queue_name_prefix(queues.ANALYTICS), connection=client)
        return [(one.func_name.rpartition(".")[2], one.args) for one in queue.jobs]


@pytest.fixture
def too_late(events: Events, ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database never answers in time."""
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.analytics.deadline_s", "0.000001")


@pytest.fixture
def no_redis(ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")


@pytest.fixture
def folder(ckan_config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.analytics.spool_folder", str(tmp_path))
    return tmp_path


def test_a_thousand_events_ring_once(app: Any, events: Events) -> None:
    for _ in range(10):
        get(app, API)

    assert waiting() == [("deliver_events", ("file",))]


def test_an_event_after_a_drain_began_rings_again(app: Any, events: Events) -> None:
    get(app, API)
    queues.heard("events-file")
    get(app, API)

    assert waiting() == [("deliver_events", ("file",))] * 2


def test_a_connection_that_redis_closed_meanwhile_costs_no_ring(app: Any, events: Events) -> None:
    get(app, API)
    queues.heard("events-file")
    with queues.connection() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    get(app, API)

    assert waiting() == [("deliver_events", ("file",))] * 2


def test_an_event_that_the_database_does_not_take_goes_by_redis(
    app: Any, too_late: None, events: Events
) -> None:
    status = get(app, API)
    ((name, arguments),) = waiting()
    job.store_events(*arguments)

    assert (status, name, events.names()) == (200, "store_events", ["robot api call"])


def test_what_goes_by_redis_knows_no_visitor_without_a_salt(app: Any, too_late: None, events: Events) -> None:
    get(app, API)
    ((_, arguments),) = waiting()
    job.store_events(*arguments)

    assert [row["visitor_id"] for row in events.rows()] == [""]


def test_an_event_that_redis_does_not_take_either_goes_to_the_spool(
    app: Any, too_late: None, no_redis: None, folder: Path, events: Events
) -> None:
    status = get(app, API)
    spooled = len(list(folder.glob(spool.PATTERN)))
    job.sweep()

    assert (status, spooled, events.names()) == (200, 1, ["robot api call"])


def test_an_event_that_the_database_can_never_hold_is_not_carried_about(folder: Path, events: Events) -> None:
    impossible = Parcel(str(uuid.uuid4()), "share", "", "", {"page title": "a\x00"}, ("file",))
    job.store_events(dumped([impossible]))

    assert (events.names(), list(folder.glob(spool.PATTERN))) == ([], [])


def test_a_page_is_served_when_nothing_takes_its_event(
    app: Any, too_late: None, no_redis: None, folder: Path, events: Events
) -> None:
    folder.rmdir()
    folder.write_text("a file is where the folder should be")

    assert get(app, API) == 200
    folder.unlink()


def test_a_save_goes_on_without_redis(call: Call, no_redis: None, events: Events) -> None:
    call("package_create", name="wells")

    assert events.names() == ["dataset create"]


def test_a_sweep_rings_for_what_was_never_rung_for(
    app: Any, events: Events, ckan_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:1/0")
        get(app, API)
    queues.breaker.close()
    job.sweep()

    assert waiting() == [("deliver_events", ("file",))]


def test_a_delivery_empties_the_outbox(
    app: Any, events: Events, ckan_config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.file.path", str(tmp_path / "events.jsonl"))
    for _ in range(3):
        get(app, API)
    job.deliver_events("file")

    assert events.names() == []
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 3


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.sinks", "mixpanel")
def test_a_sink_without_its_options_keeps_its_events(app: Any, events: Events) -> None:
    get(app, API)
    job.deliver_events("mixpanel")

    assert events.names() == ["robot api call"]


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.sinks", "file webhook")
@pytest.mark.ckan_config("ckanext.hdxjobs.webhook.events", "!robot_*")
def test_a_sink_gets_only_the_events_of_its_filter(app: Any, call: Call, events: Events) -> None:
    get(app, API)
    call("package_create", name="wells")

    assert sorted((row["sink"], row["name"]) for row in events.rows()) == [
        ("file", "dataset create"),
        ("file", "robot api call"),
        ("webhook", "dataset create"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b'{"type": "Point", "coordinates": [1, 2]}', "preview ready", {"layers": 1, "features": 1}),
        (b"no map at all", "preview failed", {"error code": "not-geodata"}),
    ],
    ids=["ready", "failed"],
)
def test_the_end_of_a_preview_is_an_event(
    call: Call, events: Events, content: bytes, name: str, told: dict[str, Any]
) -> None:
    package = call("package_create", name="wells")
    file = FileStorage(io.BytesIO(content), filename="wells.geojson")
    made = call("resource_create", package_id=package["id"], format="GeoJSON", upload=file)
    events.clear()
    geo.run_preview(made["id"], 1)

    (row,) = events.rows()
    assert row["name"] == name
    assert told.items() <= row["properties"].items()
    assert (row["properties"]["resource id"], row["properties"]["dataset name"]) == (made["id"], "wells")
