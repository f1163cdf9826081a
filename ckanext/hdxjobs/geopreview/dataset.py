"""Datasets and their resources as CKAN's database has them, whose values are the same at each save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.engine import Connection

from ckanext.hdxjobs.geopreview import rules
from ckanext.hdxjobs.geopreview.preview import PREVIEW, Row

Resource = Mapping[Any, Any]

_NAMES = (*rules.FINGERPRINT_FIELDS, "id", "package_id", "name", "extras")

#: CKAN's table with the extras as text: a statement on their own type would be compiled anew each time.
RESOURCE = sa.table(
    "resource",
    *(sa.column(name, model.resource_table.c[name].type) for name in (*_NAMES, "state") if name != "extras"),
    sa.column("extras", sa.UnicodeText),
)
_FIELDS = tuple(RESOURCE.c[name] for name in _NAMES)
#: What a save needs of the ledger; layers and notices can be long.
_KNOWN = tuple(
    PREVIEW.c[name] for name in ("resource_id", "state", "fingerprint", "error_code", "shape_info")
)


@dataclass(frozen=True)
class Saved:
    """A dataset as a save leaves it, and what the ledger knows of it.

    :ivar state: None: the dataset is no more
    :ivar resources: the active ones
    :ivar rows: by resource id, past ones included; state, fingerprint, error code and history only
    """

    state: str | None
    resources: list[Resource]
    rows: dict[str, Row]


def saved(connection: Connection, package_id: str) -> Saved:
    """All of it by one statement, because a save waits."""
    found = connection.execute(_ALL_OF_IT, {"package_id": package_id}).mappings().all()
    resources = [_read(line, "file_") for line in found if line["file_id"] is not None]
    rows = {line["resource_id"]: line for line in found if line["resource_id"] is not None}
    return Saved(found[0]["package_state"] if found else None, resources, rows)


def resources_of(package_id: str) -> list[Resource]:
    """A dataset's active resources."""
    return _resources(RESOURCE.c.package_id == package_id)


def resource(resource_id: str) -> Resource | None:
    """One active resource, as ``resources_of`` tells it."""
    found = _resources(RESOURCE.c.id == resource_id)
    return found[0] if found else None


def _resources(which: sa.ColumnElement[bool]) -> list[Resource]:
    query = sa.select(*_FIELDS).where(which, RESOURCE.c.state == "active")
    return [_read(line) for line in model.Session.connection().execute(query).mappings()]


def _read(line: Mapping[Any, Any], prefix: str = "") -> Resource:
    fields = {name: line[prefix + name] for name in _NAMES}
    return fields | {"extras": json.loads(fields["extras"] or "{}")}


def _all_of_it() -> sa.Select[Any]:
    """Resources and their rows; those without a partner stand alone, and an empty dataset has one line."""
    package, wanted = model.package_table, sa.bindparam("package_id", type_=sa.UnicodeText)
    there = sa.and_(RESOURCE.c.package_id == wanted, RESOURCE.c.state == "active")
    files = sa.select(*(field.label(f"file_{field.name}") for field in _FIELDS)).where(there).subquery()
    rows = sa.select(*_KNOWN).where(PREVIEW.c.package_id == wanted).subquery()
    both = files.join(rows, rows.c.resource_id == files.c.file_id, full=True)
    return (
        sa.select(package.c.state.label("package_state"), files, rows)
        .select_from(package.outerjoin(both, sa.true()))
        .where(package.c.id == wanted)
    )


_ALL_OF_IT = _all_of_it()
