"""The ledger of previews as the sweep sees it: what is owed, silent, unknown or gone.

Short transactions, and each change checks again what was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.engine import Connection

from ckanext.hdxjobs.geopreview import record
from ckanext.hdxjobs.geopreview.preview import CLOCK, PREVIEW, Row, blank, engine, write
from ckanext.hdxjobs.geopreview.values import State

#: States in which no layer of the resource may stay in PostGIS.
_GONE = PREVIEW.c.state.in_([State.DELETED.value, State.UNSUPPORTED.value])


def unrung(*, silent_s: int, limit: int) -> list[Row]:
    """Rows that wait for a worker although no bell may be under way: never rung, or long ago."""
    quiet = sa.or_(PREVIEW.c.rung_at.is_(None), PREVIEW.c.rung_at < _ago(silent_s))
    due = sa.and_(
        PREVIEW.c.state == State.RETRYING.value,
        PREVIEW.c.next_at <= CLOCK,
        sa.or_(quiet, PREVIEW.c.rung_at < PREVIEW.c.next_at),
    )
    waiting = sa.and_(PREVIEW.c.state == State.QUEUED.value, quiet)
    query = sa.select(PREVIEW).where(sa.or_(waiting, due)).order_by(PREVIEW.c.queued_at).limit(limit)
    return _rows(query)


def rung(row: Row) -> bool:
    """About to ring for a row; False when somebody else changed or rang it since it was read."""
    unchanged = (
        PREVIEW.c.resource_id == row["resource_id"],
        PREVIEW.c.generation == row["generation"],
        PREVIEW.c.state == row["state"],
        PREVIEW.c.rung_at.is_not_distinct_from(row["rung_at"]),
    )
    return write(PREVIEW.update().where(*unchanged).values(rung_at=CLOCK)) == 1


def requeue_lost(*, silent_s: int, max_deaths: int) -> int:
    """Runs whose worker fell silent wait for another one, unless as many died now; the rows changed.

    Rows that somebody changes at this moment are left out: two who want many rows, in an order of their own each,
    could wait for each other.
    """
    lost = (
        PREVIEW.c.state == State.RUNNING.value,
        PREVIEW.c.heartbeat_at < _ago(silent_s),
        PREVIEW.c.deaths + 1 < max_deaths,
    )
    free = sa.select(PREVIEW.c.resource_id).where(*lost).with_for_update(skip_locked=True)
    again = blank() | {"state": State.QUEUED.value, "deaths": PREVIEW.c.deaths + 1}
    return write(PREVIEW.update().where(PREVIEW.c.resource_id.in_(free)).values(**again))


def lost_for_good(*, silent_s: int, max_deaths: int) -> list[Row]:
    """Runs whose worker fell silent, as the last of too many."""
    query = sa.select(PREVIEW).where(
        PREVIEW.c.state == State.RUNNING.value,
        PREVIEW.c.heartbeat_at < _ago(silent_s),
        PREVIEW.c.deaths + 1 >= max_deaths,
    )
    return _rows(query)


def untold(*, after_s: int, within_s: int, limit: int) -> list[Row]:
    """Previews that ended a while ago without a word in the resource's extras: who was to write it died.

    The moment of the newest entry tells, so that no history need be read.
    """
    resource = model.resource_table
    extras = sa.func.coalesce(sa.type_coerce(resource.c.extras, sa.UnicodeText), "")
    moment = PREVIEW.c.shape_info[-1]["timestamp"].astext
    query = (
        sa.select(PREVIEW)
        .join(resource, resource.c.id == PREVIEW.c.resource_id)
        .where(
            PREVIEW.c.state.in_([State.READY.value, State.FAILED.value, State.UNSUPPORTED.value]),
            PREVIEW.c.finished_at.between(_ago(within_s), _ago(after_s)),
            resource.c.state == "active",
            sa.func.strpos(extras, moment) == 0,
        )
        .limit(limit)
    )
    return _rows(query)


def cancelled(*, after_s: int, within_s: int, limit: int) -> list[Row]:
    """Previews that were cancelled a while ago and keep the layers of before."""
    query = (
        sa.select(PREVIEW)
        .where(
            PREVIEW.c.state == State.READY.value,
            PREVIEW.c.finished_at.between(_ago(within_s), _ago(after_s)),
            PREVIEW.c.notices.contains([{"code": "cancelled"}]),
        )
        .limit(limit)
    )
    return _rows(query)


def awaited(resource_ids: Iterable[str]) -> set[tuple[str, int]]:
    """Of these resources the generations that wait or run: nobody else has a use for half-made tables."""
    unfinished = PREVIEW.c.state.in_([State.QUEUED.value, State.RUNNING.value, State.RETRYING.value])
    query = sa.select(PREVIEW.c.resource_id, PREVIEW.c.generation).where(
        PREVIEW.c.resource_id.in_(list(resource_ids)), unfinished
    )
    with engine().connect() as connection:
        return {(row.resource_id, row.generation) for row in connection.execute(query)}


def orphans(connection: Connection) -> list[str]:
    """Resources with a preview that went away behind our back, or whose dataset did (purges, direct writes)."""
    resource, package = model.resource_table, model.package_table
    alive = (
        sa.select(resource.c.id)
        .join(package, package.c.id == resource.c.package_id)
        .where(resource.c.id == PREVIEW.c.resource_id)
        .where(resource.c.state == "active", package.c.state != "deleted")
        .exists()
    )
    query = sa.select(PREVIEW.c.resource_id).where(PREVIEW.c.state != State.DELETED.value, ~alive)
    return list(connection.execute(query).scalars())


def drop_orphans() -> list[str]:
    """Drop their previews."""
    with engine().begin() as connection:
        return record.drop(connection, orphans(connection))


def unretired(*, limit: int) -> list[Row]:
    """Previews that are no more, whose tables may still be in PostGIS."""
    query = sa.select(PREVIEW).where(_GONE, PREVIEW.c.retired_at.is_(None)).limit(limit)
    return _rows(query)


def retired(row: Row) -> None:
    """The tables of such a preview are gone."""
    same = (PREVIEW.c.resource_id == row["resource_id"], PREVIEW.c.generation == row["generation"])
    write(PREVIEW.update().where(*same, _GONE).values(retired_at=CLOCK))


def _rows(query: sa.Select[Any]) -> list[Row]:
    with engine().connect() as connection:
        return list(connection.execute(query).mappings())


def _ago(seconds: int) -> sa.ColumnElement[datetime]:
    return CLOCK - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
