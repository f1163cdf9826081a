"""How the previews of the whole site stand: counts, what waits, runs and failed.  For the people who run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.hdxjobs.geopreview import dataset, hooks
from ckanext.hdxjobs.geopreview.preview import CLOCK, PREVIEW, engine
from ckanext.hdxjobs.geopreview.values import State

#: States with an error code: two ends, and the one that is tried again by itself.
_IN_ERROR = (State.FAILED.value, State.UNSUPPORTED.value, State.RETRYING.value)

#: Since when a row waits for a worker; null when it does not: a retry has its time.
_WAITS_SINCE = sa.case(
    (PREVIEW.c.state == State.QUEUED.value, PREVIEW.c.queued_at),
    (sa.and_(PREVIEW.c.state == State.RETRYING.value, PREVIEW.c.next_at <= CLOCK), PREVIEW.c.next_at),
)


@dataclass(frozen=True)
class Queue:
    """What is under way.

    :ivar oldest_s: seconds that the oldest has waited for a worker; None: nothing waits
    :ivar idle_s: seconds since a worker last did anything for any preview; None: never
    :ivar silent: running ones whose worker has not been heard of lately
    """

    waiting: int
    running: int
    silent: int
    oldest_s: float | None
    idle_s: float | None


@dataclass(frozen=True)
class Running:
    """A preview that a worker makes.

    :ivar seconds: since it was begun
    :ivar silent_s: since its worker was last heard of
    """

    resource_id: str
    package_id: str
    resource_name: str
    generation: int
    attempt: int
    phase: str | None
    progress: float | None
    seconds: float
    silent_s: float


@dataclass(frozen=True)
class Failures:
    """Previews with the same error.

    :ivar state: "failed" or "unsupported"; or "retrying": tried again by itself
    :ivar newest_s: seconds since the last of them ended
    :ivar next_s: seconds until the first of them is tried again
    """

    code: str
    state: str
    count: int
    newest_s: float | None
    next_s: float | None


@dataclass(frozen=True)
class Failed:
    """One preview with an error.

    :ivar params: details of the error's message
    :ivar since: when it ended, or was last begun
    """

    resource_id: str
    package_id: str
    resource_name: str
    params: dict[str, Any] | None
    since: datetime


def counts() -> dict[State, int]:
    """How many previews are in which state; all states."""
    counted = sa.select(PREVIEW.c.state, sa.func.count()).group_by(PREVIEW.c.state)
    with engine().connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(counted)}
    return {state: found.get(state.value, 0) for state in State}


def phases() -> dict[str | None, int]:
    """How many running previews are in which phase; None: a worker has just taken them."""
    counted = sa.select(PREVIEW.c.phase, sa.func.count()).where(PREVIEW.c.state == State.RUNNING.value)
    with engine().connect() as connection:
        return {row[0]: row[1] for row in connection.execute(counted.group_by(PREVIEW.c.phase))}


def layers() -> int:
    """How many layers are served."""
    count = sa.func.coalesce(sa.func.sum(sa.func.jsonb_array_length(PREVIEW.c.layers)), 0)
    with engine().connect() as connection:
        return int(connection.execute(sa.select(count)).scalar_one())


def queue(*, silent_s: int) -> Queue:
    """What waits and runs.

    :param silent_s: seconds without a heartbeat after which a worker counts as dead
    """
    running = PREVIEW.c.state == State.RUNNING.value
    signs = sa.func.greatest(PREVIEW.c.started_at, PREVIEW.c.heartbeat_at, PREVIEW.c.finished_at)
    asked = sa.select(
        sa.func.count(_WAITS_SINCE),
        sa.func.count().filter(running),
        sa.func.count().filter(running, _seconds_since(PREVIEW.c.heartbeat_at) > silent_s),
        _seconds_since(sa.func.min(_WAITS_SINCE)),
        _seconds_since(sa.func.max(signs)),
    )
    with engine().connect() as connection:
        waiting, runs, silent, oldest_s, idle_s = connection.execute(asked).one()
    return Queue(waiting=waiting, running=runs, silent=silent, oldest_s=oldest_s, idle_s=idle_s)


def running(*, limit: int) -> list[Running]:
    """What workers make now, the oldest first."""
    query = (
        _named(
            PREVIEW.c.generation,
            PREVIEW.c.attempt,
            PREVIEW.c.phase,
            PREVIEW.c.progress,
            _seconds_since(PREVIEW.c.started_at).label("seconds"),
            _seconds_since(PREVIEW.c.heartbeat_at).label("silent_s"),
        )
        .where(PREVIEW.c.state == State.RUNNING.value)
        .order_by(PREVIEW.c.started_at)
        .limit(limit)
    )
    with engine().connect() as connection:
        return [Running(**row) for row in connection.execute(query).mappings()]


def failures() -> list[Failures]:
    """Previews with an error by what it is, the most frequent first."""
    query = (
        sa.select(
            PREVIEW.c.error_code,
            PREVIEW.c.state,
            sa.func.count(),
            _seconds_since(sa.func.max(PREVIEW.c.finished_at)),
            -_seconds_since(sa.func.min(PREVIEW.c.next_at)),
        )
        .where(PREVIEW.c.state.in_(_IN_ERROR), PREVIEW.c.error_code.is_not(None))
        .group_by(PREVIEW.c.error_code, PREVIEW.c.state)
        .order_by(sa.func.count().desc(), PREVIEW.c.error_code, PREVIEW.c.state)
    )
    with engine().connect() as connection:
        return [Failures(*row) for row in connection.execute(query)]


def with_error(code: str, *, limit: int) -> list[Failed]:
    """Previews with one error, the newest first."""
    since = sa.func.coalesce(PREVIEW.c.finished_at, PREVIEW.c.started_at, PREVIEW.c.queued_at).label("since")
    query = (
        _named(PREVIEW.c.error_params.label("params"), since)
        .where(PREVIEW.c.state.in_(_IN_ERROR), PREVIEW.c.error_code == code)
        .order_by(since.desc())
        .limit(limit)
    )
    with engine().connect() as connection:
        return [Failed(**row) for row in connection.execute(query).mappings()]


def resource_ids() -> set[str]:
    """All resources with a row, past ones included."""
    with engine().connect() as connection:
        return set(connection.execute(sa.select(PREVIEW.c.resource_id)).scalars())


def failed(code: str | None = None) -> list[str]:
    """The resources whose preview failed, the longest ago first.

    :param code: only with this error, also those of unsupported files and those that are tried again by
        themselves.  None: all failed ones
    """
    which = PREVIEW.c.state == State.FAILED.value
    if code is not None:
        which = sa.and_(PREVIEW.c.state.in_(_IN_ERROR), PREVIEW.c.error_code == code)
    query = sa.select(PREVIEW.c.resource_id).where(which)
    with engine().connect() as connection:
        return list(connection.execute(query.order_by(PREVIEW.c.finished_at)).scalars())


def ask_again(resource_ids: list[str]) -> Iterator[bool]:
    """Ask for previews once more, each in a transaction of its own; False for a resource that is gone."""
    for resource_id in resource_ids:
        resource = dataset.resource(resource_id)
        if resource is not None:
            hooks.submit(resource, force=True)
        model.Session.commit()
        yield resource is not None


def _named(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Columns of the ledger, with what names the resource."""
    resource = model.resource_table
    names = (
        PREVIEW.c.resource_id,
        PREVIEW.c.package_id,
        sa.func.coalesce(resource.c.name, "").label("resource_name"),
    )
    return sa.select(*names, *columns).select_from(
        PREVIEW.outerjoin(resource, resource.c.id == PREVIEW.c.resource_id)
    )


def _seconds_since(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(sa.extract("epoch", CLOCK - moment), sa.Float)
