"""A worker or a sweep on a machine whose clock is wrong by hours."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from werkzeug.datastructures import FileStorage
from workers import sweep, work

from ckanext.hdxjobs.geopreview import attempt
from ckanext.hdxjobs.geopreview.preview import CLOCK, PREVIEW, engine
from ckanext.hdxjobs.geopreview.remedies import DELAYS_S

Call = Callable[..., Any]
Row = Callable[[str], dict[str, Any]]

POINT = {"type": "Point", "coordinates": [29.2, -1.7]}

pytestmark = pytest.mark.skipif(not shutil.which("faketime"), reason="the package faketime is not installed")


#: Hours by which the clock of the first worker and of the sweep is wrong; that of the second one by as much the other way.
HOURS = (3, -3)


@dataclass(frozen=True)
class Seen:
    """Rows of previews, by what they are, at moments of a site.

    :ivar began: by the database's clock, before the first worker
    :ivar worked: after it
    :ivar history: as the resource of the map tells it then
    :ivar ended: the database's clock then
    :ivar swept: after the sweep
    :ivar again: after the second worker
    """

    began: datetime
    worked: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    ended: datetime
    swept: dict[str, dict[str, Any]]
    again: dict[str, dict[str, Any]]


def clock() -> datetime:
    """The database's."""
    with engine().connect() as connection:
        moment: datetime = connection.execute(sa.select(CLOCK)).scalar_one()
    return moment


def change(resource_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(PREVIEW.update().where(PREVIEW.c.resource_id == resource_id).values(**values))


def within(seconds: int) -> Any:
    """A moment by the database's clock; negative: past."""
    return CLOCK + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def queue(dataset: dict[str, Any], call: Call) -> dict[str, str]:
    """Resources whose previews are queued, by what they are to be."""
    link = {"url": "http://no-such-host.invalid/places.geojson", "format": "GeoJSON"}
    made = {
        kind: call("resource_create", package_id=dataset["id"], **link) for kind in ("unreachable", "retry")
    }
    for kind in ("map", "at work", "dead"):
        upload = FileStorage(io.BytesIO(json.dumps(POINT).encode()), filename="point.geojson")
        made[kind] = call("resource_create", package_id=dataset["id"], upload=upload)
    return {kind: resource["id"] for kind, resource in made.items()}


def live(hours: int, ids: dict[str, str], row: Row, call: Call) -> Seen:
    """A worker, a sweep and another worker whose clocks are wrong."""

    def rows() -> dict[str, dict[str, Any]]:
        model.Session.remove()
        return {kind: row(resource_id) for kind, resource_id in ids.items()}

    change(ids["retry"], state="retrying", attempt=1, next_at=within(3600))
    for kind in ("at work", "dead"):
        assert attempt.claim(ids[kind], 1)
        # It beats for an hour; by a clock three hours ahead it has been silent for two.
        change(ids[kind], heartbeat_at=within(3600))
    began = clock()
    work(clock_h=hours)
    worked, ended = rows(), clock()
    history = json.loads(call("resource_show", id=ids["map"])["shape_info"])
    change(ids["retry"], next_at=CLOCK)
    change(ids["dead"], heartbeat_at=within(-60))
    sweep(clock_h=hours)
    swept = rows()
    work(clock_h=-hours)
    return Seen(began, worked, history, ended, swept, rows())


@pytest.fixture(scope="module")
def _lived() -> dict[int, Seen]:
    """Starting a worker takes seconds: the tests only look at what came of it."""
    return {}


@pytest.fixture(params=HOURS)
def seen(_lived: dict[int, Seen], with_plugins: Any, request: pytest.FixtureRequest) -> Seen:
    hours = request.param
    if hours not in _lived:
        dataset, call, row = map(request.getfixturevalue, ("dataset", "call", "row"))
        _lived[hours] = live(hours, queue(dataset, call), row, call)
    return _lived[hours]


def test_a_map_of_a_worker_whose_clock_is_wrong_tells_the_databases_moments(seen: Seen) -> None:
    found = seen.worked["map"]
    told = [
        *(found[name] for name in ("started_at", "heartbeat_at", "finished_at")),
        datetime.fromisoformat(seen.history[-1]["timestamp"]).replace(tzinfo=timezone.utc),
    ]
    assert found["state"] == "ready"
    assert [moment for moment in told if not seen.began <= moment <= seen.ended] == []


def test_a_retry_is_due_when_it_is_due_whatever_the_workers_clock_says(seen: Seen) -> None:
    found = seen.worked["unreachable"]
    assert found["state"] == "retrying"
    delay_s = DELAYS_S[found["attempt"] - 1]
    wait_s = (found["next_at"] - found["heartbeat_at"]).total_seconds()
    # And a while in which the worker was slow; so slow that it was due again, at times.
    assert delay_s <= wait_s < delay_s + 600


def test_no_retry_is_made_early_or_late_by_a_worker_whose_clock_is_wrong(seen: Seen) -> None:
    assert [rows["retry"]["attempt"] for rows in (seen.worked, seen.swept, seen.again)] == [1, 1, 2]


def test_a_preview_at_work_is_left_alone_by_workers_and_sweeps_whose_clocks_are_wrong(seen: Seen) -> None:
    found = [rows["at work"] for rows in (seen.worked, seen.swept, seen.again)]
    assert [(each["state"], each["attempt"]) for each in found] == [("running", 1)] * 3


def test_a_dead_workers_preview_is_taken_back_by_a_sweep_whose_clock_is_wrong(seen: Seen) -> None:
    assert (seen.worked["dead"]["state"], seen.swept["dead"]["state"]) == ("running", "queued")
