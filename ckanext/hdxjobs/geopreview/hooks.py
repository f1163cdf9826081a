"""A dataset was saved or went away: which files are geodata, and new?

Runs inside the save's own transaction, in a savepoint, so that a rolled-back save leaves nothing and
our fault never spoils a save.  The bell rings after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.hdxjobs import bulk, config, queues
from ckanext.hdxjobs.geopreview import dataset, encore, mirror, record, rules, sharing
from ckanext.hdxjobs.geopreview.preview import Row, needs_migration, savepoint
from ckanext.hdxjobs.geopreview.values import State

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
        asked = _generations(_ask(connection, wanted["package_id"], [wanted], force=force))
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
    saved = dataset.saved(connection, package_id)
    if saved.state in (None, "deleted"):
        return _drop_all(connection, package_id)
    candidates = {found["id"]: found for found in saved.resources if is_candidate(found)}
    rows = saved.rows
    gone = {each for each, row in rows.items() if row["state"] != State.DELETED.value} - candidates.keys()
    if gone:
        _drop(connection, gone)
        rows = record.rows_of_package(connection, package_id)
    asked = _ask_for_new(connection, package_id, candidates, rows) if config.enabled() else {}
    mirror.restore(connection, saved.resources, rows | asked)
    return _generations(asked)


def _ask_for_new(
    connection: Connection,
    package_id: str,
    candidates: Mapping[str, dataset.Resource],
    rows: Mapping[str, Row],
) -> dict[str, Row]:
    """What the ledger does not know, and what was given up for no fault of the file."""
    new, again = [], []
    for resource_id, found in candidates.items():
        known = rows.get(resource_id)
        if known is None or known["fingerprint"] != rules.fingerprint(found):
            new.append(found)
        elif record.was_given_up(known):
            again.append(found)
    return _ask(connection, package_id, new, force=False) | _ask(connection, package_id, again, force=True)


def _drop_all(connection: Connection, package_id: str) -> Asked:
    _drop(connection, record.rows_of_package(connection, package_id).keys())
    return {}


def _drop(connection: Connection, resource_ids: Collection[str], *, for_good: bool = False) -> list[str]:
    dropped = record.drop(connection, resource_ids, for_good=for_good)
    sharing.take_back(dropped)
    _settle_later(dropped)
    return dropped


def _ask(
    connection: Connection, package_id: str, wanted: Iterable[dataset.Resource], *, force: bool
) -> dict[str, Row]:
    fingerprints = {found["id"]: rules.fingerprint(found) for found in wanted}
    return record.want(connection, package_id=package_id, fingerprints=fingerprints, force=force)


def _generations(rows: Mapping[str, Row]) -> Asked:
    return {resource_id: row["generation"] for resource_id, row in rows.items()}


def _mirror(connection: Connection, package_id: str) -> None:
    mirror.restore(
        connection, dataset.resources_of(package_id), record.rows_of_package(connection, package_id)
    )


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
