"""The ledger of previews, as saves and readers see it; ``upkeep`` is the sweep's view.

The row is the truth; queues are only doorbells.  Changes that belong to a save (``want``, ``drop``)
run on the save's own connection.
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

from ckanext.hdxjobs.errors import FAILURES
from ckanext.hdxjobs.geopreview import answer, legacy
from ckanext.hdxjobs.geopreview.preview import (
    CLOCK,
    PREVIEW,
    Row,
    blank,
    needs_migration,
    savepoint,
    stamp,
    write,
)
from ckanext.hdxjobs.geopreview.values import Notice, State
from ckanext.hdxjobs.messages import ENGLISH, Language

log = logging.getLogger(__name__)

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
        "deaths": 0,
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


def was_given_up(row: Row) -> bool:
    """Whether trouble that has nothing to do with the file lasted too long: a save of the same file asks again."""
    failure = FAILURES.get(row["error_code"])
    return row["state"] == State.FAILED.value and failure is not None and failure.retryable


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
