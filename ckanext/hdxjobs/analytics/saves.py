"""Saves become events: what CKAN's session is about to write, in the transaction that writes it.

The session itself is watched, not the actions: so each way of saving counts (web form, API, harvester,
command line), once, and a save that is rolled back leaves no event.  Changes are noticed before each
flush, while old values are known; the events are written before the commit; the bell rings after it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.hdxjobs import bulk
from ckanext.hdxjobs.analytics import capture, catalogue, traffic
from ckanext.hdxjobs.analytics.changes import WATCHED, Change, events_of
from ckanext.hdxjobs.analytics.events import Event
from ckanext.hdxjobs.analytics.visits import Visit
from ckanext.hdxjobs.config import AnalyticsSettings

log = logging.getLogger(__name__)

_NOTED = "hdxjobs_changes"
_UNRUNG = "hdxjobs_unrung"
_UNSTORED = "hdxjobs_unstored"
_IN_BULK = "hdxjobs_in_bulk"

#: The action of the setting ``analytics.actions`` that stands for a kind of event.
ACTIONS: dict[type[Event], str] = {
    catalogue.DatasetCreate: "package_create",
    catalogue.DatasetUpdate: "package_update",
    catalogue.DatasetDelete: "package_delete",
    catalogue.ResourceCreate: "resource_create",
    catalogue.ResourceUpdate: "resource_update",
    catalogue.ResourceDelete: "resource_delete",
    catalogue.OrganizationCreate: "organization_create",
    catalogue.MemberAdd: "organization_member_create",
    catalogue.MemberChange: "organization_member_create",
    catalogue.MemberRemove: "organization_member_delete",
}


def watch() -> None:
    """Watch CKAN's session; once a process."""
    if not sa.event.contains(model.Session, "before_flush", _notice):
        sa.event.listen(model.Session, "before_flush", _notice)
        sa.event.listen(model.Session, "after_bulk_update", _notice_many)
        sa.event.listen(model.Session, "before_commit", _write)
        sa.event.listen(model.Session, "after_commit", _ring)
        sa.event.listen(model.Session, "after_soft_rollback", _forget)
        sa.event.listen(model.Session, "after_transaction_end", _close)


def _notice(session: Any, _context: Any, _instances: Any) -> None:
    try:
        for thing in session.new:
            _note(session, thing, before=None)
        for thing in session.dirty:
            if isinstance(thing, WATCHED) and session.is_modified(thing, include_collections=False):
                _note(session, thing, before=_before(thing))
        for thing in session.deleted:
            _note(session, thing, before=_before(thing), gone=True)
    except Exception as error:
        capture.complain("Changes could not be noticed (%s)", type(error).__name__)


def _notice_many(update: Any) -> None:
    try:
        for package in bulk.datasets(update):
            kind = {"active": catalogue.DatasetUpdate, "deleted": catalogue.DatasetDelete}.get(package.state)
            if kind:
                update.session.info.setdefault(_IN_BULK, []).append(kind(dataset_id=package.id))
    except Exception as error:
        capture.complain("Changes could not be noticed (%s)", type(error).__name__)


def _note(session: Any, thing: Any, *, before: Mapping[str, Any] | None, gone: bool = False) -> None:
    if not isinstance(thing, WATCHED):
        return
    noted = session.info.setdefault(_NOTED, {})
    change = noted.get(id(thing))
    if change is None:
        within = session.get_nested_transaction() or session.get_transaction()
        change = noted[id(thing)] = Change(thing, before, within)
    change.gone |= gone
    if before is not None:
        change.touched |= before["touched"]


def _before(thing: Any) -> dict[str, Any]:
    """What the database holds of an object that is about to be written."""
    inspected = sa.inspect(thing)
    old: dict[str, Any] = {"touched": set()}
    for attribute in inspected.mapper.column_attrs:
        history = inspected.attrs[attribute.key].history
        if history.has_changes():
            old["touched"].add(attribute.key)
        if attribute.key in ("state", "capacity"):
            values = history.deleted or history.unchanged or history.added
            old[attribute.key] = values[0] if values else None
    return old


def _write(session: Any) -> None:
    """Before the commit: the events of this save, in a savepoint, so that our fault never spoils it."""
    if session.in_nested_transaction():
        return
    try:
        session.flush()
        changes = list(session.info.pop(_NOTED, {}).values())
        happened = [*events_of(changes, session), *session.info.pop(_IN_BULK, [])]
        if not happened:
            return
        settings = traffic.settings()
        events = [event for event in happened if ACTIONS[type(event)] in settings.actions]
        visit = traffic.current(settings)
        if not events or visit is traffic.NOT_TRACKED:
            return
    except Exception as error:
        capture.complain("The events of a save were lost (%s)", type(error).__name__)
        return
    try:
        session.info.setdefault(_UNRUNG, set()).update(
            join_connection(events, session.connection(), settings, visit=visit)
        )
    except Exception as error:
        capture.complain("Events could not join their save (%s); they follow it", type(error).__name__)
        session.info.setdefault(_UNSTORED, []).append((events, visit, settings))


def join_connection(
    events: Sequence[Event], connection: Any, settings: AnalyticsSettings, *, visit: Visit | None = None
) -> set[str]:
    """Store events in a transaction that is under way; the sinks to ring for when it is committed."""
    with connection.begin_nested():
        return capture.join(events, visit, settings, _asking(connection))


def _asking(connection: Any) -> Any:
    def ask(sql: str, parameters: Mapping[str, Any]) -> Any:
        return connection.exec_driver_sql(sql, dict(parameters)).fetchall()

    return ask


def _ring(session: Any) -> None:
    """The save is committed, not only a savepoint of it."""
    if session.in_nested_transaction():
        return
    try:
        capture.ring(session.info.pop(_UNRUNG, set()))
        for unstored in session.info.pop(_UNSTORED, []):
            capture.store(*unstored)
    except Exception as error:
        capture.complain("The bell could not be rung (%s); the sweep will", type(error).__name__)


def _forget(session: Any, rolled_back: Any) -> None:
    """What a rolled-back transaction or savepoint did has not happened."""
    noted = session.info.get(_NOTED, {})
    for key, change in list(noted.items()):
        if _is_within(change.within, rolled_back):
            del noted[key]


def _close(session: Any, ended: Any) -> None:
    """Nothing outlives the outermost transaction."""
    if ended.parent is None:
        for key in (_NOTED, _UNRUNG, _UNSTORED, _IN_BULK):
            session.info.pop(key, None)


def _is_within(transaction: Any, outer: Any) -> bool:
    while transaction is not None and transaction is not outer:
        transaction = transaction.parent
    return transaction is outer
