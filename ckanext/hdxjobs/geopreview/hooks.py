"""A dataset was saved or went away: which files are geodata, and new?

Runs inside the save's own transaction, in a savepoint, so that a rolled-back save leaves nothing and
our fault never spoils a save.  The bell rings after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.hdxjobs import bulk, config, queues
from ckanext.hdxjobs.geopreview import encore, mirror, record, rules, sharing
from ckanext.hdxjobs.geopreview.preview import Row, needs_migration, savepoint

log = logging.getLogger(__name__)

#: What was asked for: resource id -> generation.
Asked = dict[str, int]

#: Where a session keeps the previews to ring for once it is committed:
#: resource id -> (generation, the transaction that asked).
_PENDING = "hdxjobs_pending"
#: And the ids of resources of which tile servers may have to get or lose the layers then.
_CHANGED = "hdxjobs_changed"


def dataset_saved(package_id: str) -> None:
    """Compare the saved resources with the ledger; ask for what is new, drop what is gone."""
    _safely(lambda connection: _reconcile(connection, package_id), package_id)


def dataset_gone(reference: str) -> None:
    """A dataset was deleted or purged: its previews go at once.

    :param reference: the dataset's id, or its name as the caller of package_delete may give it
    """

    def drop(connection: Connection) -> Asked:
        package = model.package_table
        by_name = sa.select(package.c.id).where(package.c.name == reference)
        return _drop_all(connection, connection.execute(by_name).scalar_one_or_none() or reference)

    _safely(drop, reference)


@event.listens_for(model.Session, "after_bulk_update")
def _datasets_saved(update: Any) -> None:
    """Many datasets were saved at once, and will be committed."""
    try:
        for package in bulk.datasets(update):
            dataset_saved(package.id)
            dataset_commits(package)
    except Exception:
        log.exception("Datasets are saved, but their map previews are left to the sweep")


def dataset_commits(package: Any) -> None:
    """A dataset is about to be committed, whoever changed it: no tile server has a layer that is not public then."""
    if not config.tiles_shared():
        return
    try:
        with savepoint() as connection:
            resource_ids = record.rows_of_package(connection, package.id).keys()
    except Exception:
        log.exception("What tile servers have of dataset %s is left to the sweep", package.id)
        return
    if package.private or package.state != "active":
        sharing.take_back(resource_ids)
    _settle_later(resource_ids)


def submit(wanted: Mapping[Any, Any], *, force: bool) -> int | None:
    """Ask for one resource's preview; the new generation, or None when there was nothing to do.

    Unlike a save, this may fail: the caller wants to know.
    """
    with savepoint() as connection:
        asked = _generations(_ask(connection, wanted, force=force))
        _mirror(connection, wanted["package_id"])
    _after_commit(asked)
    return asked.get(wanted["id"])


def remove(unwanted: Mapping[Any, Any]) -> bool:
    """An editor wants no preview of this file; False when there was none."""
    with savepoint() as connection:
        dropped = _drop(connection, [unwanted["id"]], for_good=True)
        _mirror(connection, unwanted["package_id"])
    return bool(dropped)


def cancel(unwanted: Mapping[Any, Any]) -> bool:
    """Make no preview of what waits or runs; False when nothing did.

    A map of the file before stays; without one it is as if an editor had removed the preview.  A running
    job learns of it by its next heartbeat, and leaves.
    """
    with savepoint() as connection:
        row = record.lock_unfinished(connection, unwanted["id"])
        if row is None:
            return False
        if row["layers"]:
            record.withdraw(connection, row)
        else:
            _drop(connection, [unwanted["id"]], for_good=True)
        _mirror(connection, unwanted["package_id"])
    return True


def resources_of(package_id: str) -> list[Mapping[Any, Any]]:
    """A dataset's active resources as the database has them, whose values are the same at each save."""
    return _resources(model.resource_table.c.package_id == package_id)


def resource(resource_id: str) -> Mapping[Any, Any] | None:
    """One active resource, as ``resources_of`` tells it."""
    found = _resources(model.resource_table.c.id == resource_id)
    return found[0] if found else None


def _resources(which: sa.ColumnElement[bool]) -> list[Mapping[Any, Any]]:
    table = model.resource_table
    fields = [table.c[name] for name in (*rules.FINGERPRINT_FIELDS, "id", "package_id", "name", "extras")]
    query = sa.select(*fields).where(which, table.c.state == "active")
    return list(model.Session.connection().execute(query).mappings())


def is_candidate(found: Mapping[Any, Any]) -> bool:
    """Whether a resource may be geodata."""
    return rules.is_candidate(
        declared_format=found["format"] or "",
        name=found["name"] or "",
        url=found["url"] or "",
        formats=rules.chosen_formats(config.formats()),
    )


def bell(resource_id: str, generation: int) -> queues.Bell:
    """The doorbell of one import."""
    return queues.Bell(
        queue=queues.GEO,
        job="ckanext.hdxjobs.geopreview.job.run_preview",
        args=(resource_id, generation),
        key=bell_key(resource_id, generation),
        title=f"Map preview of resource {resource_id}, generation {generation}",
        timeout_s=config.geo_settings().job_timeout_s + encore.MORE_S,
    )


def bell_key(resource_id: str, generation: int) -> str:
    """What names a preview in a job's id; a resource id may hold signs that RQ refuses."""
    return f"geo-{rules.layer_id(resource_id, '')}-g{generation}"


def _safely(work: Callable[[Connection], Asked], package_id: str) -> None:
    try:
        with savepoint() as connection:
            asked = work(connection)
        _after_commit(asked)
    except Exception as error:
        if needs_migration(error):
            log.error("Dataset %s is saved, but gets no map previews: %s", package_id, record.MIGRATE)
        else:
            log.exception("Dataset %s is saved, but its map previews could not be queued", package_id)


def _reconcile(connection: Connection, package_id: str) -> Asked:
    state, rows = record.state_and_rows(connection, package_id)
    if state in (None, "deleted"):
        return _drop_all(connection, package_id)
    resources = resources_of(package_id)
    candidates = {found["id"]: found for found in resources if is_candidate(found)}
    gone = rows.keys() - candidates.keys()
    if gone:
        _drop(connection, gone)
        rows = record.rows_of_package(connection, package_id)
    asked: dict[str, Row] = {}
    for found in candidates.values() if config.enabled() else ():
        known = rows.get(found["id"])
        if known is None or known["fingerprint"] != rules.fingerprint(found):
            asked |= _ask(connection, found, force=False)
        elif record.was_given_up(known):
            asked |= _ask(connection, found, force=True)
    mirror.restore(connection, resources, rows | asked)
    return _generations(asked)


def _drop_all(connection: Connection, package_id: str) -> Asked:
    _drop(connection, record.rows_of_package(connection, package_id).keys())
    return {}


def _drop(connection: Connection, resource_ids: Collection[str], *, for_good: bool = False) -> list[str]:
    dropped = record.drop(connection, resource_ids, for_good=for_good)
    sharing.take_back(dropped)
    _settle_later(dropped)
    return dropped


def _ask(connection: Connection, wanted: Mapping[Any, Any], *, force: bool) -> dict[str, Row]:
    row = record.want(
        connection,
        resource_id=wanted["id"],
        package_id=wanted["package_id"],
        fingerprint=rules.fingerprint(wanted),
        force=force,
    )
    return {} if row is None else {wanted["id"]: row}


def _generations(rows: Mapping[str, Row]) -> Asked:
    return {resource_id: row["generation"] for resource_id, row in rows.items()}


def _mirror(connection: Connection, package_id: str) -> None:
    mirror.restore(connection, resources_of(package_id), record.rows_of_package(connection, package_id))


def _after_commit(asked: Asked) -> None:
    session = model.Session()
    asking = session.get_nested_transaction() or session.get_transaction()
    pending = session.info.setdefault(_PENDING, {})
    pending.update({resource_id: (generation, asking) for resource_id, generation in asked.items()})


@event.listens_for(model.Session, "after_commit")
def _ring(session: Session) -> None:
    """The save is committed (not only a savepoint of it): ring for what it asked."""
    if session.in_nested_transaction():
        return
    pending = session.info.pop(_PENDING, {})
    try:
        unheard = [
            resource_id
            for resource_id, (generation, _) in pending.items()
            if not queues.ring(bell(resource_id, generation))
        ]
        if unheard:
            record.unring(unheard)
    except Exception:
        log.exception("%s map previews are recorded but not queued; the sweep will", len(pending))


def _settle_later(resource_ids: Collection[str]) -> None:
    model.Session().info.setdefault(_CHANGED, set()).update(resource_ids)


@event.listens_for(model.Session, "after_commit")
def _settle(session: Session) -> None:
    if not session.in_nested_transaction():
        sharing.settle(session.info.pop(_CHANGED, set()))


@event.listens_for(model.Session, "after_soft_rollback")
def _forget(session: Session, rolled_back: SessionTransaction) -> None:
    """What a rolled-back transaction, or a savepoint inside it, asked for is not wanted."""
    pending = session.info.get(_PENDING, {})
    for resource_id, (_, asking) in list(pending.items()):
        if _is_within(asking, rolled_back):
            del pending[resource_id]


@event.listens_for(model.Session, "after_transaction_end")
def _forget_unfinished(session: Session, ended: SessionTransaction) -> None:
    """A session closed without a commit asked for nothing."""
    if ended.parent is None:
        session.info.pop(_PENDING, None)
        session.info.pop(_CHANGED, None)


def _is_within(transaction: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while transaction is not None and transaction is not outer:
        transaction = transaction.parent
    return transaction is outer
