"""A worker or a sweep on a machine whose clock is wrong by hours."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from werkzeug.datastructures import FileStorage
from workers import sweep, work

from ckanext.hdxjobs.geopreview import attempt
from ckanext.hdxjobs.geopreview.preview import CLOCK, PREVIEW, engine

Call = Callable[..., Any]
Row = Callable[[str], dict[str, Any]]

POINT = {"type": "Point", "coordinates": [29.2, -1.7]}
HOURS = pytest.mark.parametrize("hours", [3, -3])

pytestmark = pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """A resource whose preview is queued."""
    upload = FileStorage(io.BytesIO(json.dumps(POINT).encode()), filename="point.geojson")
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], upload=upload)
    return made


@pytest.fixture
def unreachable(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """A resource whose link leads nowhere now."""
    link = "http://no-such-host.invalid/places.geojson"
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], url=link, format="GeoJSON")
    return made


def clock() -> datetime:
    """The database's."""
    with engine().connect() as connection:
        moment: datetime = connection.execute(sa.select(CLOCK)).scalar_one()
    return moment


def silent_for(resource: dict[str, Any], seconds: int) -> None:
    """As if its worker had not been heard of for so long; negative: until then."""
    past = CLOCK - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    with engine().begin() as connection:
        mine = PREVIEW.c.resource_id == resource["id"]
        connection.execute(PREVIEW.update().where(mine).values(heartbeat_at=past))


@HOURS
def test_a_map_of_a_worker_whose_clock_is_wrong_tells_the_databases_moments(
    resource: dict[str, Any], row: Row, call: Call, hours: int
) -> None:
    began = clock()
    work(clock_h=hours)
    found = row(resource["id"])
    history = json.loads(call("resource_show", id=resource["id"])["shape_info"])
    told = [
        *(found[name] for name in ("started_at", "heartbeat_at", "finished_at")),
        datetime.fromisoformat(history[-1]["timestamp"]).replace(tzinfo=timezone.utc),
    ]
    assert found["state"] == "ready"
    assert [moment for moment in told if not began <= moment <= clock()] == []


@HOURS
def test_a_retry_is_due_when_it_is_due_whatever_the_workers_clock_says(
    unreachable: dict[str, Any], row: Row, hours: int
) -> None:
    work(clock_h=hours)
    found = row(unreachable["id"])
    assert (found["state"], found["attempt"]) == ("retrying", 1)
    assert 20 < (found["next_at"] - found["heartbeat_at"]).total_seconds() < 40


@HOURS
def test_no_retry_is_made_early_or_late_by_a_worker_whose_clock_is_wrong(
    unreachable: dict[str, Any], row: Row, hours: int
) -> None:
    mine = PREVIEW.c.resource_id == unreachable["id"]
    waits = {"state": "retrying", "attempt": 1, "next_at": CLOCK + sa.func.make_interval(0, 0, 0, 0, 1)}
    with engine().begin() as connection:
        connection.execute(PREVIEW.update().where(mine).values(**waits))
    work(clock_h=hours)
    early = row(unreachable["id"])["attempt"]
    with engine().begin() as connection:
        connection.execute(PREVIEW.update().where(mine).values(next_at=CLOCK))
    sweep(clock_h=hours)
    work(clock_h=-hours)
    assert (early, row(unreachable["id"])["attempt"]) == (1, 2)


@HOURS
def test_a_preview_at_work_is_left_alone_by_workers_and_sweeps_whose_clocks_are_wrong(
    resource: dict[str, Any], row: Row, hours: int
) -> None:
    """It beats for an hour; by a clock three hours ahead it has been silent for two."""
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    silent_for(resource, -3600)
    sweep(clock_h=hours)
    work(clock_h=hours)
    found = row(resource["id"])
    assert (found["state"], found["attempt"]) == ("running", 1)


@HOURS
def test_a_dead_workers_preview_is_taken_back_by_a_sweep_whose_clock_is_wrong(
    resource: dict[str, Any], row: Row, hours: int
) -> None:
    attempt.claim(resource["id"], 1)
    silent_for(resource, 60)
    sweep(clock_h=hours)
    model.Session.remove()
    assert row(resource["id"])["state"] == "queued"
