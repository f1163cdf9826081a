"""A worker's attempt at a preview: each change of state, and whether it still counts.

All are short transactions of their own, compare-and-set on (resource, generation, attempt, state):
whoever was overtaken changes nothing and learns of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from ckan.lib.signals import ckanext as signals

from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import answer, legacy, remedies
from ckanext.hdxjobs.geopreview.preview import (
    CLOCK,
    PREVIEW,
    Row,
    appended,
    blank,
    engine,
    progress_values,
    write,
)
from ckanext.hdxjobs.geopreview.values import Notice, Outcome, Progress, State

log = logging.getLogger(__name__)

#: Sent when an attempt ends, with its state: the analytics wing listens, and other extensions may.
SETTLED = signals.signal("hdxjobs:preview_settled")

#: Notices whose features are missing from the map.
_DROPPING = frozenset({"no-geometry", "out-of-range", "geometry-unreadable"})


@dataclass(frozen=True)
class Claim:
    """A worker's right to change one row: void once another generation or attempt took over."""

    resource_id: str
    generation: int
    attempt: int


def claim(resource_id: str, generation: int) -> Claim | None:
    """A job takes its row, or learns that there is nothing to do for it."""
    due = sa.or_(
        PREVIEW.c.state == State.QUEUED.value,
        sa.and_(PREVIEW.c.state == State.RETRYING.value, PREVIEW.c.next_at <= CLOCK),
    )
    statement = (
        PREVIEW.update()
        .where(PREVIEW.c.resource_id == resource_id, PREVIEW.c.generation == generation, due)
        .values(
            state=State.RUNNING.value,
            attempt=PREVIEW.c.attempt + 1,
            started_at=CLOCK,
            heartbeat_at=CLOCK,
            phase=None,
            next_at=None,
            error_code=None,
            error_class=None,
            error_params=None,
            **progress_values(None),
        )
        .returning(PREVIEW.c.attempt)
    )
    with engine().begin() as connection:
        attempt = connection.execute(statement).scalar_one_or_none()
    return Claim(resource_id, generation, attempt) if attempt else None


def beat(claimed: Claim, *, phase: str | None, progress: Progress | None) -> bool:
    """Still alive, this far; False when the claim is void."""
    values = {"heartbeat_at": CLOCK, "phase": phase} | progress_values(progress)
    return write(PREVIEW.update().where(*_mine(claimed)).values(**values)) == 1


def succeed(claimed: Claim, outcome: Outcome) -> bool:
    """The layers are live; False when the claim is void.

    Whoever cancelled it meanwhile was too late: the layers of before make room for these.
    """
    dropped = sum(notice.count for notice in outcome.notices if notice.code in _DROPPING)

    def ready(_row: Row) -> dict[str, Any]:
        return {
            "state": State.READY.value,
            "finished_at": CLOCK,
            "notices": [asdict(notice) for notice in outcome.notices],
            "layers": answer.layers(outcome.tile_sets),
            "entry": legacy.success(outcome.tile_sets, dropped=dropped),
        }

    return _settle(claimed, ready, states=(State.RUNNING, State.READY))


def fail(claimed: Claim, error: PreviewError, *, notices: Sequence[Notice] = ()) -> State | None:
    """An attempt failed: try again later if that can help, else say why; None when the claim is void.

    An unsupported file has no map, so that layers of the file before it are no longer listed.
    """
    outcome: list[State] = []

    def broken(row: Row) -> dict[str, Any]:
        waited_s = (row["clock"] - row["queued_at"]).total_seconds()
        delay_s = (
            remedies.delay_s(attempt=claimed.attempt, waited_s=waited_s, asked_s=error.retry_after_s)
            if error.failure.retryable
            else None
        )
        values = _failure_values(error) | {"notices": [asdict(notice) for notice in notices]}
        if delay_s is not None:
            outcome.append(State.RETRYING)
            next_at = row["clock"] + timedelta(seconds=delay_s)
            return values | {"state": State.RETRYING.value, "next_at": next_at}
        outcome.append(State(error.failure.state))
        if error.failure.state == State.UNSUPPORTED.value:
            values["layers"] = []
        return values | {
            "state": error.failure.state,
            "finished_at": CLOCK,
            "entry": legacy.failure(
                message=str(error),
                error_type=error.failure.error_type,
                error_class=type(error).__name__,
            ),
        }

    return outcome[0] if _settle(claimed, broken) else None


def again(claimed: Claim, *, above: int) -> bool:
    """A fresh generation for the same file: this one's number is used up in the map database.

    :param above: the highest generation known there
    """
    generation = max(above, claimed.generation) + 1
    values = blank() | {"state": State.QUEUED.value, "attempt": 0, "deaths": 0, "generation": generation}
    return write(PREVIEW.update().where(*_mine(claimed)).values(**values)) == 1


def _settle(
    claimed: Claim, judge: Callable[[Row], dict[str, Any]], *, states: Sequence[State] = (State.RUNNING,)
) -> bool:
    """End an attempt by the values that ``judge`` makes of the locked row; "entry" goes to the history."""
    mine = _mine(claimed, states)
    locked = sa.select(PREVIEW, CLOCK.label("clock")).where(*mine).with_for_update()
    with engine().begin() as connection:
        row = connection.execute(locked).mappings().one_or_none()
        if row is None:
            return False
        values = {"phase": None} | progress_values(None) | judge(row)
        entry = values.pop("entry", None)
        if entry:
            values["shape_info"] = appended(PREVIEW.c.shape_info, entry)
        connection.execute(PREVIEW.update().where(*mine).values(**values))
        _tell(row, values, connection)
    _tell(row, values, None)
    return True


def _tell(row: Row, values: Mapping[str, Any], connection: sa.engine.Connection | None) -> None:
    """Say how it ended to whoever listens, first in the transaction, then once it is committed.

    A listener's fault is its own: the preview stands as it does.
    """
    layers = values.get("layers", ())
    try:
        SETTLED.send(
            values["state"],
            connection=connection,
            resource_id=row["resource_id"],
            seconds=round((row["clock"] - row["queued_at"]).total_seconds(), 1),
            layers=len(layers),
            features=sum(layer["feature_count"] for layer in layers),
            error_code=values.get("error_code"),
        )
    except Exception as error:
        log.warning("A listener failed on the end of a preview (%s)", type(error).__name__)


def _mine(claimed: Claim, states: Sequence[State] = (State.RUNNING,)) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        PREVIEW.c.resource_id == claimed.resource_id,
        PREVIEW.c.generation == claimed.generation,
        PREVIEW.c.attempt == claimed.attempt,
        PREVIEW.c.state.in_([state.value for state in states]),
    )


def _failure_values(error: PreviewError) -> dict[str, Any]:
    return {"error_code": error.code, "error_class": type(error).__name__, "error_params": error.params}
