"""The ledger of previews, as saves, readers and the sweep see it.

The row is the truth; queues are only doorbells.  Changes that belong to a save (``want``, ``drop``)
run on the save's own connection; the sweep's are short transactions that check again what they read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from flask import has_app_context
from sqlalchemy.engine import Connection

from ckanext.hdxjobs.geopreview import answer, legacy
from ckanext.hdxjobs.geopreview.preview import (
    CLOCK,
    PREVIEW,
    Row,
    blank,
    engine,
    needs_migration,
    savepoint,
    stamp,
    write,
)
from ckanext.hdxjobs.geopreview.values import Notice, State
from ckanext.hdxjobs.messages import ENGLISH, Language

log = logging.getLogger(__name__)

#: States in which no layer of the resource may stay in PostGIS.
_GONE = PREVIEW.c.state.in_([State.DELETED.value, State.UNSUPPORTED.value])

#: What to do when the table is not there or older than this release.
MIGRATE = "the table hdxjobs_preview is not there or not up to date; run: ckan db upgrade -p hdxjobs"


def rows_of_package(connection: Connection, package_id: str) -> dict[str, Row]:
    """The rows of a dataset's resources, past ones included, by resource id."""
    query = sa.select(PREVIEW).where(PREVIEW.c.package_id == package_id)
    return {row["resource_id"]: row for row in connection.execute(query).mappings()}


def state_and_rows(connection: Connection, package_id: str) -> tuple[str | None, dict[str, Row]]:
    """A dataset's state (None: it is no more) and its rows, asked for at once because a save waits."""
    package = model.package_table
    both = package.outerjoin(PREVIEW, PREVIEW.c.package_id == package.c.id)
    query = sa.select(package.c.state.label("package_state"), PREVIEW).select_from(both)
    found = connection.execute(query.where(package.c.id == package_id)).mappings().all()
    rows = {row["resource_id"]: row for row in found if row["resource_id"] is not None}
    return (found[0]["package_state"] if found else None), rows


def find(resource_id: str) -> Row | None:
    """The row of one resource as the session sees it."""
    rows = _read(sa.select(PREVIEW).where(PREVIEW.c.resource_id == resource_id))
    return rows[0] if rows else None


def is_served(resource_id: str) -> bool:
    """Whether the layers of this resource may be shown: it was not deleted."""
    row = find(resource_id)
    return row is not None and row["state"] != State.DELETED.value


def visitors_language() -> Language:
    """The language of the page that is asked for; English where none is, as in another extension's job."""
    return Language(tk._, tk.h.localised_number) if has_app_context() else ENGLISH


def status(resource_id: str) -> dict[str, Any] | None:
    """What users are told about a resource's preview, or None when it has none (or no longer)."""
    row = find(resource_id)
    if row is None or row["state"] == State.DELETED.value:
        return None
    return told(row)


def told(row: Row, language: Language | None = None) -> dict[str, Any]:
    """A row as the answer of ``hdx_geopreview_status``.

    :param language: None: the visitor's
    """

    def tilejson_url(layer_id: str) -> str:
        url: str = tk.url_for("hdxjobs_tiles.tilejson", layer_id=layer_id, qualified=True, locale="default")
        return url

    return answer.from_row(row, language=language or visitors_language(), tilejson_url=tilejson_url)


def search(
    *, package_id: str | None = None, state: State | None = None, limit: int, offset: int
) -> list[Row]:
    """Rows of a dataset or of the whole site, newest first."""
    query = sa.select(PREVIEW).order_by(PREVIEW.c.queued_at.desc().nulls_last(), PREVIEW.c.resource_id)
    if package_id:
        query = query.where(PREVIEW.c.package_id == package_id)
    query = query.where(PREVIEW.c.state == state.value if state else PREVIEW.c.state != State.DELETED.value)
    return _read(query.limit(limit).offset(offset))


def want(
    connection: Connection, *, resource_id: str, package_id: str, fingerprint: str, force: bool = False
) -> Row | None:
    """Ask for a preview of a file; the new row, or None when this very file was asked for before.

    ``rung_at`` is set ahead, because the bell rings right after the commit; ``unring`` takes it back.
    """
    mine = PREVIEW.c.resource_id == resource_id
    locked = sa.select(PREVIEW, CLOCK.label("clock")).where(mine).with_for_update()
    row = connection.execute(locked).mappings().one_or_none()
    if row and row["fingerprint"] == fingerprint and not force:
        return None
    clock = row["clock"] if row else connection.execute(sa.select(CLOCK)).scalar_one()
    history = row["shape_info"] if row else []
    values = blank() | {
        "package_id": package_id,
        "fingerprint": fingerprint,
        "generation": row["generation"] + 1 if row else 1,
        "state": State.QUEUED.value,
        "attempt": 0,
        "queued_at": clock,
        "rung_at": clock,
        "shape_info": legacy.appended(history, legacy.processing(timestamp=stamp(clock))),
    }
    change = (
        PREVIEW.update().where(mine).values(**values)
        if row
        else PREVIEW.insert().values(resource_id=resource_id, **values)
    )
    return connection.execute(change.returning(PREVIEW)).mappings().one()


def drop(connection: Connection, resource_ids: Collection[str], *, for_good: bool = False) -> list[str]:
    """Previews go away at once: tiles and status answer 404; the sweep drops the tables.

    :param for_good: the same file does not get a preview again by being saved (an editor removed it)
    :returns: the resources that had one
    """
    values = blank() | {"state": State.DELETED.value, "layers": [], "shape_info": [], "finished_at": CLOCK}
    if not for_good:
        values["fingerprint"] = ""
    statement = (
        PREVIEW.update()
        .where(PREVIEW.c.resource_id.in_(resource_ids), PREVIEW.c.state != State.DELETED.value)
        .values(**values)
        .returning(PREVIEW.c.resource_id)
    )
    return list(connection.execute(statement).scalars())


def lock_unfinished(connection: Connection, resource_id: str) -> Row | None:
    """The row of a preview that waits or runs, locked; None when there is none."""
    unfinished = PREVIEW.c.state.in_([State.QUEUED.value, State.RUNNING.value, State.RETRYING.value])
    query = sa.select(PREVIEW).where(PREVIEW.c.resource_id == resource_id, unfinished).with_for_update()
    return connection.execute(query).mappings().one_or_none()


def withdraw(connection: Connection, row: Row) -> None:
    """A preview is not made after all; the layers that are served stay.

    Its file counts as tried: saving it again asks for nothing.
    """
    values = blank() | {
        "state": State.READY.value,
        "finished_at": CLOCK,
        "notices": [asdict(Notice("cancelled"))],
        "shape_info": legacy.withdrawn(row["shape_info"]),
    }
    connection.execute(PREVIEW.update().where(PREVIEW.c.resource_id == row["resource_id"]).values(**values))


def unring(resource_ids: Iterable[str]) -> None:
    """The bell could not be rung: the sweep will."""
    write(PREVIEW.update().where(PREVIEW.c.resource_id.in_(list(resource_ids))).values(rung_at=None))


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
    with engine().connect() as connection:
        return list(connection.execute(query).mappings())


def rung(row: Row) -> bool:
    """About to ring for a row; False when somebody else changed or rang it since it was read."""
    unchanged = (
        PREVIEW.c.resource_id == row["resource_id"],
        PREVIEW.c.generation == row["generation"],
        PREVIEW.c.state == row["state"],
        PREVIEW.c.rung_at.is_not_distinct_from(row["rung_at"]),
    )
    return write(PREVIEW.update().where(*unchanged).values(rung_at=CLOCK)) == 1


def requeue_lost(*, silent_s: int, max_attempts: int) -> int:
    """Runs whose worker fell silent wait for another one; the rows changed."""
    lost = (
        PREVIEW.c.state == State.RUNNING.value,
        PREVIEW.c.heartbeat_at < _ago(silent_s),
        PREVIEW.c.attempt < max_attempts,
    )
    return write(PREVIEW.update().where(*lost).values(**blank(), state=State.QUEUED.value))


def lost_for_good(*, silent_s: int) -> list[Row]:
    """Runs whose worker fell silent; after ``requeue_lost`` only those out of attempts are left."""
    query = sa.select(PREVIEW).where(
        PREVIEW.c.state == State.RUNNING.value, PREVIEW.c.heartbeat_at < _ago(silent_s)
    )
    with engine().connect() as connection:
        return list(connection.execute(query).mappings())


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
    with engine().connect() as connection:
        return list(connection.execute(query).mappings())


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
        return drop(connection, orphans(connection))


def unretired(*, limit: int) -> list[Row]:
    """Previews that are no more, whose tables may still be in PostGIS."""
    query = sa.select(PREVIEW).where(_GONE, PREVIEW.c.retired_at.is_(None)).limit(limit)
    with engine().connect() as connection:
        return list(connection.execute(query).mappings())


def retired(row: Row) -> None:
    """The tables of such a preview are gone."""
    same = (PREVIEW.c.resource_id == row["resource_id"], PREVIEW.c.generation == row["generation"])
    write(PREVIEW.update().where(*same, _GONE).values(retired_at=CLOCK))


def _read(query: sa.Select[Any]) -> list[Row]:
    """Rows for a page; before the migration ran there are none, and the page still works."""
    try:
        with savepoint() as connection:
            return list(connection.execute(query).mappings())
    except sa.exc.ProgrammingError as error:
        if not needs_migration(error):
            raise
        log.error("No map previews: %s", MIGRATE)
        return []


def _ago(seconds: int) -> sa.ColumnElement[Any]:
    return CLOCK - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
