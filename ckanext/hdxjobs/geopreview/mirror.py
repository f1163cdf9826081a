"""What the rest of CKAN sees of a preview: the copy in the resource's extras, and the map view.

Never by a package save: no activity, no new ``metadata_modified``, no hooks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.lib import search
from ckan.lib.search.common import SearchIndexError
from sqlalchemy.engine import Connection

from ckanext.hdxjobs.geopreview import legacy
from ckanext.hdxjobs.geopreview.dataset import RESOURCE
from ckanext.hdxjobs.geopreview.preview import PREVIEW, Row, pairs

log = logging.getLogger(__name__)

VIEW_TYPE = "hdxjobs_map"

#: Stored with the view, where publishers may change it.
VIEW_TITLE = "Map"


def restore(connection: Connection, resources: Iterable[Mapping[Any, Any]], rows: Mapping[str, Row]) -> None:
    """Put the history back where a save left it out or brought a stale one; part of that save.

    :param resources: id and extras of resources as the save left them
    :param rows: the ledger's rows by resource id; a resource without one is left alone
    """
    known = (resource for resource in resources if resource["id"] in rows)
    _write(connection, {resource["id"]: _extras(resource, rows[resource["id"]]) for resource in known})


def refresh(resource_id: str, *, reindex: bool = False) -> None:
    """Copy a row's history to the extras and tell the search index; a transaction of its own.

    The dataset is locked first, as a save does, so that neither overwrites the other.

    :param reindex: tell the search index even if the extras were right
    """
    try:
        _refresh(model.Session.connection(), resource_id, reindex=reindex)
        model.Session.commit()
    except BaseException:
        model.Session.rollback()
        raise


def _refresh(connection: Connection, resource_id: str, *, reindex: bool) -> None:
    resource, package = model.resource_table, model.package_table
    package_id = connection.execute(
        sa.select(resource.c.package_id).where(resource.c.id == resource_id, resource.c.state == "active")
    ).scalar_one_or_none()
    alive = sa.select(package.c.id).where(package.c.id == package_id, package.c.state != "deleted")
    if package_id is None or not connection.execute(alive.with_for_update()).first():
        return
    found = (
        connection.execute(
            sa.select(resource.c.id, resource.c.extras).where(resource.c.id == resource_id).with_for_update()
        )
        .mappings()
        .one()
    )
    row = (
        connection.execute(sa.select(PREVIEW).where(PREVIEW.c.resource_id == resource_id))
        .mappings()
        .one_or_none()
    )
    if row is None or not (_write(connection, {resource_id: _extras(found, row)}) or reindex):
        return
    try:
        search.rebuild(package_id)
    except (search.SearchError, SearchIndexError):
        log.exception("Dataset %s could not be indexed; its preview is recorded all the same", package_id)


def ensure_view(resource_id: str) -> None:
    """A map view for the resource, unless it has one."""
    view = model.ResourceView
    views = model.Session.query(view).filter(view.resource_id == resource_id).all()
    if any(other.view_type == VIEW_TYPE for other in views):
        return
    order = max((other.order or 0 for other in views), default=-1) + 1
    model.Session.add(
        view(resource_id=resource_id, view_type=VIEW_TYPE, title=VIEW_TITLE, order=order, config={})
    )
    model.Session.commit()


def _extras(resource: Mapping[Any, Any], row: Row) -> dict[str, Any] | None:
    """A resource's extras with the row's history; None when they have it."""
    extras = dict(resource["extras"] or {})
    history = json.dumps(row["shape_info"]) if row["shape_info"] else None
    if extras.pop(legacy.EXTRA, None) == history:
        return None
    return extras | ({legacy.EXTRA: history} if history else {})


def _write(connection: Connection, extras: Mapping[str, dict[str, Any] | None]) -> bool:
    """Write the extras that are not None, by one statement for all; False when there are none."""
    changed = {resource_id: new for resource_id, new in extras.items() if new is not None}
    if not changed:
        return False
    texts = [json.dumps(new, ensure_ascii=False) if new else None for new in changed.values()]
    connection.execute(_WRITE, {"resource_ids": list(changed), "extras": texts})
    for loaded in list(model.Session):
        # It reads them again.
        if isinstance(loaded, model.Resource) and loaded.id in changed:
            model.Session.expire(loaded, ["extras"])
    return True


def _write_all() -> sa.Update:
    changed = pairs("resource_ids", "extras")
    return RESOURCE.update().where(RESOURCE.c.id == changed.c.resource_ids).values(extras=changed.c.extras)


_WRITE = _write_all()
