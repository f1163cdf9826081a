"""Saves become events: what CKAN's session is about to write, in the transaction that writes it.

The session itself is watched, not the actions: so each way of saving counts (web form, API, harvester,
command line), once, and a save that is rolled back leaves no event.  Changes are noticed before each
flush, while old values are known; the events are written before the commit; the bell rings after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.hdxjobs.analytics import capture, catalogue, traffic
from ckanext.hdxjobs.analytics.events import Event
from ckanext.hdxjobs.analytics.visits import Visit
from ckanext.hdxjobs.config import AnalyticsSettings

log = logging.getLogger(__name__)

_NOTED = "hdxjobs_changes"
_UNRUNG = "hdxjobs_unrung"
_UNSTORED = "hdxjobs_unstored"

#: Columns that change with every save, or with one that is no news.
_NO_NEWS = frozenset({"metadata_modified", "plugin_data", "position", "package", "resources_all", "_extras"})

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


@dataclass
class Change:
    """What a transaction did to one object.

    :ivar before: state and capacity before it; None for a new object
    :ivar touched: columns that changed
    :ivar gone: the row is removed
    :ivar within: the transaction or savepoint that did it
    """

    thing: Any
    before: Mapping[str, Any] | None
    within: Any
    touched: set[str] = field(default_factory=set)
    gone: bool = False

    @property
    def was_active(self) -> bool:
        return self.before is not None and self.before["state"] == "active"

    @property
    def is_active(self) -> bool:
        return not self.gone and self.thing.state == "active"

    @property
    def ended(self) -> bool:
        """Whether it was there, and no longer is."""
        was_there = self.before is not None and self.before["state"] != "deleted"
        return was_there and (self.gone or self.thing.state == "deleted")


def watch() -> None:
    """Watch CKAN's session; once a process."""
    if not sa.event.contains(model.Session, "before_flush", _notice):
        sa.event.listen(model.Session, "before_flush", _notice)
        sa.event.listen(model.Session, "before_commit", _write)
        sa.event.listen(model.Session, "after_commit", _ring)
        sa.event.listen(model.Session, "after_soft_rollback", _forget)
        sa.event.listen(model.Session, "after_transaction_end", _close)


def _notice(session: Any, _context: Any, _instances: Any) -> None:
    try:
        for thing in session.new:
            _note(session, thing, before=None)
        for thing in session.dirty:
            if isinstance(thing, _WATCHED) and session.is_modified(thing, include_collections=False):
                _note(session, thing, before=_before(thing))
        for thing in session.deleted:
            _note(session, thing, before=_before(thing), gone=True)
    except Exception as error:
        capture.complain("Changes could not be noticed (%s)", type(error).__name__)


# CKAN 2.12 keeps extras in the dataset's own row.
_PARTS = tuple(getattr(model, name) for name in ("PackageExtra", "PackageTag") if hasattr(model, name))
_WATCHED = (model.Package, model.Resource, model.Group, model.Member, *_PARTS)


def _note(session: Any, thing: Any, *, before: Mapping[str, Any] | None, gone: bool = False) -> None:
    if not isinstance(thing, _WATCHED):
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
        if not changes:
            return
        settings = traffic.settings()
        events = [event for event in events_of(changes, session) if ACTIONS[type(event)] in settings.actions]
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
        for key in (_NOTED, _UNRUNG, _UNSTORED):
            session.info.pop(key, None)


def _is_within(transaction: Any, outer: Any) -> bool:
    while transaction is not None and transaction is not outer:
        transaction = transaction.parent
    return transaction is outer


def events_of(changes: list[Change], session: Any) -> Iterator[Event]:
    """The events that a transaction's changes are."""
    packages = {one.thing.id: one for one in changes if isinstance(one.thing, model.Package)}
    resources = [one for one in changes if isinstance(one.thing, model.Resource)]
    members = [one for one in changes if isinstance(one.thing, model.Member)]
    touched = {one.thing.package_id for one in changes if isinstance(one.thing, _PARTS)}
    touched |= {one.thing.table_id for one in members if one.thing.table_name == "package"}
    ended = {package_id for package_id, change in packages.items() if change.ended or change.gone}
    for change in packages.values():
        yield from _package_events(change, also_touched=change.thing.id in touched)
    for change in resources:
        if change.thing.package_id not in ended:
            yield from _resource_events(change)
    for change in changes:
        if isinstance(change.thing, model.Group):
            yield from _group_events(change)
    for change in members:
        if change.thing.table_name == "user":
            yield from _member_events(change, session)


def _package_events(change: Change, *, also_touched: bool) -> Iterator[Event]:
    package = change.thing
    was_draft = change.before is None or str(change.before["state"]).startswith("draft")
    if change.ended:
        yield catalogue.DatasetDelete(dataset_id=package.id, **_last_words(change))
    elif change.is_active and was_draft:
        yield catalogue.DatasetCreate(dataset_id=package.id)
    elif change.is_active and (change.touched - _NO_NEWS or also_touched):
        yield catalogue.DatasetUpdate(dataset_id=package.id)


def _resource_events(change: Change) -> Iterator[Event]:
    about = {"resource_id": change.thing.id, "dataset_id": change.thing.package_id}
    if change.ended:
        yield catalogue.ResourceDelete(**about)
    elif change.is_active and change.before is None:
        yield catalogue.ResourceCreate(**about)
    elif change.is_active and change.was_active and change.touched - _NO_NEWS:
        yield catalogue.ResourceUpdate(**about)


def _last_words(change: Change) -> dict[str, Any]:
    """Nothing can be looked up of a row that is gone."""
    return {"org_id": change.thing.owner_org} if change.gone else {}


def _group_events(change: Change) -> Iterator[Event]:
    group = change.thing
    if change.before is None and change.is_active and group.is_organization:
        yield catalogue.OrganizationCreate(org_id=group.id, org_name=group.name, org_type=group.type)


def _member_events(change: Change, session: Any) -> Iterator[Event]:
    member = change.thing
    group = session.get(model.Group, member.group_id)
    if group is None or not group.is_organization:
        return
    about = {"org_id": member.group_id, "capacity": member.capacity}
    if change.is_active and not change.was_active:
        if _is_founder(member, session):
            return
        user = session.get(model.User, member.table_id)
        invited = user is not None and user.state == "pending"
        yield catalogue.MemberAdd(add_method="by invitation" if invited else "directly", **about)
    elif change.is_active and change.before and change.before["capacity"] != member.capacity:
        yield catalogue.MemberChange(**about)
    elif change.was_active and not change.is_active:
        yield catalogue.MemberRemove(**about)


def _is_founder(member: Any, session: Any) -> bool:
    """Whether nobody was a member before: CKAN makes whoever creates an organization its administrator."""
    others = session.query(model.Member).filter(
        model.Member.group_id == member.group_id,
        model.Member.table_name == "user",
        model.Member.id != member.id,
    )
    return others.first() is None
