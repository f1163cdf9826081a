"""Our tables in CKAN's database as older releases made and filled them; a restart in which both releases run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import makers
import pytest
import rq
import sqlalchemy as sa
from ckan import model
from layer_paths import tile_path
from outbox_view import Events
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.geopreview import job, sweep
from ckanext.hdxjobs.geopreview.preview import engine

Call = Callable[..., Any]

#: Revisions of older releases: previews only; then the outbox.
PREVIEWS, OUTBOX = "5d1f0c7a2b31", "8c2a64e91f07"

#: All that the first release wrote when a file was saved.
FIRST_INSERT = """
INSERT INTO hdxjobs_preview (
    resource_id, package_id, fingerprint, generation, state, attempt, queued_at, notices, layers, shape_info
) VALUES (:resource_id, :package_id, 'of-the-first-release', 1, 'queued', 0, clock_timestamp(), '[]', '[]', '[]')
"""

FIRST_EVENT = """
INSERT INTO hdxjobs_event (event_id, sink, name, occurred_at, properties)
VALUES ('6d1f7a34-9c1e-4d55-8a2b-0d9b1f1f0c11', 'file', 'page view', clock_timestamp(), '{"page": "home"}')
"""

#: What the release before this one leaves in Redis when the database does not take events.
PARCELS = (
    '[{"event_id":"6d1f7a34-9c1e-4d55-8a2b-0d9b1f1f0c11","name":"page view","visitor_id":"v","session_id":"s",'
    '"properties":{"page":"home"},"sinks":["file"],"age_s":0.0,"occurred_at":"2026-11-24T18:00:00+00:00"}]'
)


def run(statement: str, **values: str) -> None:
    with engine().begin() as connection:
        connection.execute(sa.text(statement), values)


@pytest.fixture
def brought_to(site: None, migrate_db_for: Any) -> Iterator[Callable[..., None]]:
    """Our tables at an older revision and back; in the end they are of this release."""

    def bring(revision: str, *, forward: bool = True) -> None:
        model.Session.remove()
        migrate_db_for("hdxjobs", revision, forward)

    yield bring
    bring("head")


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """An uploaded file whose preview was never asked for."""
    upload = FileStorage(io.BytesIO(makers.towns()), filename="towns.geojson")
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], name="Towns", upload=upload)
    model.Session.remove()
    run("DELETE FROM hdxjobs_preview")
    return made


@pytest.mark.parametrize("revision", [PREVIEWS, OUTBOX])
def test_a_map_of_an_older_release_is_still_there(
    layer: dict[str, Any], brought_to: Any, call: Call, app: Any, revision: str
) -> None:
    brought_to(revision, forward=False)
    brought_to("head")
    status = call("hdx_geopreview_status", id=layer["resource_id"])
    assert (status["state"], status["layers"][0]["layer_id"]) == ("ready", layer["layer_id"])
    assert app.get(tile_path(layer)).status_code == 200


def test_a_file_that_waited_during_the_upgrade_becomes_a_map(
    resource: dict[str, Any], brought_to: Any, call: Call
) -> None:
    brought_to(PREVIEWS, forward=False)
    run(FIRST_INSERT, resource_id=resource["id"], package_id=resource["package_id"])
    brought_to("head")
    job.run_preview(resource["id"], 1)
    assert call("hdx_geopreview_status", id=resource["id"])["state"] == "ready"


def test_an_old_web_process_beside_the_new_tables_queues_files(
    resource: dict[str, Any], jobs: Callable[[], Any], reset_queues: Callable[[], None]
) -> None:
    reset_queues()
    run(FIRST_INSERT, resource_id=resource["id"], package_id=resource["package_id"])
    run("UPDATE hdxjobs_preview SET queued_at = queued_at - interval '1 hour'")
    sweep.run()
    assert jobs() == [(resource["id"], 1)]


def test_events_that_wait_during_the_upgrade_are_kept(events: Events, brought_to: Any) -> None:
    brought_to(OUTBOX, forward=False)
    run(FIRST_EVENT)
    brought_to("head")
    assert events.names() == ["page view"]


def test_a_preview_that_the_release_before_rang_for_is_made(resource: dict[str, Any], call: Call) -> None:
    run(FIRST_INSERT, resource_id=resource["id"], package_id=resource["package_id"])
    perform("ckanext.hdxjobs.geopreview.job.run_preview", resource["id"], 1)
    assert call("hdx_geopreview_status", id=resource["id"])["state"] == "ready"


def test_events_that_the_release_before_left_in_redis_are_stored(events: Events) -> None:
    perform("ckanext.hdxjobs.analytics.job.store_events", PARCELS)
    assert events.names() == ["page view"]


def test_events_that_the_release_before_rang_for_are_delivered(events: Events) -> None:
    run(FIRST_EVENT)
    perform("ckanext.hdxjobs.analytics.job.deliver_events", "file")
    assert events.names() == []


def perform(path: str, *arguments: Any) -> None:
    """A job as it lies in Redis: the path of a function, and its arguments."""
    rq.job.Job.create(func=path, args=arguments, connection=queues.connection()).perform()
