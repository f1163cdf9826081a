"""The ledger of previews, as saves and readers see it; ``upkeep`` is the sweep's view.

The row is the truth; queues are only doorbells.  Changes that belong to a save (``want``, ``drop``)
run on the save's own connection.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from flask import has_app_context
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection

from ckanext.hdxjobs.errors import FAILURES
from ckanext.hdxjobs.geopreview import answer, legacy
from ckanext.hdxjobs.geopreview.preview import (
    CLOCK,
    NOW,
    PREVIEW,
    Row,
    appended,
    blank,
    needs_migration,
    pairs,
    savepoint,
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
    connection: Connection, *, package_id: str, fingerprints: Mapping[str, str], force: bool = False
) -> dict[str, Row]:
    """Ask for previews of files; generation and history of those that are new, by resource id.

    A file that was asked for before is none of them.  ``rung_at`` is set ahead, because the bell rings right
    after the commit; ``unring`` takes it back.

    :param fingerprints: by resource id
    """
    if not fingerprints:
        return {}
    asked = {
        "resource_ids": list(fingerprints),
        "fingerprints": list(fingerprints.values()),
        "package_id": package_id,
        "force": force,
    }
    rows = connection.execute(_want(connection.dialect), asked).mappings()
    return {row["resource_id"]: row for row in rows}


@lru_cache(maxsize=1)
def _want(dialect: sa.Dialect) -> sa.Executable:
    """An upsert: a row begins anew, but its layers serve on and its history grows.

    Compiled once: SQLAlchemy keeps no statement with an ON CONFLICT, and compiling takes longer than running it.
    """
    asked = pairs("resource_ids", "fingerprints")
    processing = legacy.processing()
    values: dict[str, sa.ColumnElement[Any]] = {
        "resource_id": asked.c.resource_ids,
        "fingerprint": asked.c.fingerprints,
        "package_id": sa.bindparam("package_id", type_=sa.UnicodeText),
        "generation": sa.literal(1),
        "state": sa.literal(State.QUEUED.value),
        "queued_at": NOW,
        "rung_at": NOW,
        "shape_info": appended(sa.literal([], JSONB), processing),
    }
    new = insert(PREVIEW).from_select(list(values), sa.select(*values.values()))
    kept = {"resource_id", "layers"}
    begun: dict[str, sa.ColumnElement[Any]] = {
        column.name: new.excluded[column.name] for column in PREVIEW.c if column.name not in kept
    }
    begun |= {
        "generation": PREVIEW.c.generation + 1,
        "shape_info": appended(PREVIEW.c.shape_info, processing),
    }
    is_new = sa.or_(
        sa.bindparam("force", type_=sa.Boolean), PREVIEW.c.fingerprint != new.excluded.fingerprint
    )
    upsert = new.on_conflict_do_update(index_elements=["resource_id"], set_=begun, where=is_new)
    told = upsert.returning(PREVIEW.c.resource_id, PREVIEW.c.generation, PREVIEW.c.shape_info)
    return cast("sa.Executable", told.compile(dialect=dialect))


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
