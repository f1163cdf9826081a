"""What a transaction did to datasets, resources, groups and members, as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from ckan import model

from ckanext.hdxjobs.analytics import catalogue
from ckanext.hdxjobs.analytics.events import Event

#: Columns that change with every save, or with one that is no news.
_NO_NEWS = frozenset({"metadata_modified", "plugin_data", "position", "package", "resources_all", "_extras"})

# CKAN 2.12 keeps extras in the dataset's own row.
_PARTS = tuple(getattr(model, name) for name in ("PackageExtra", "PackageTag") if hasattr(model, name))
WATCHED = (model.Package, model.Resource, model.Group, model.Member, *_PARTS)


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


def events_of(changes: list[Change], session: Any) -> Iterator[Event]:
    """The events that a transaction's changes are."""
    packages = {one.thing.id: one for one in changes if isinstance(one.thing, model.Package)}
    resources = [one for one in changes if isinstance(one.thing, model.Resource)]
    members = [one for one in changes if isinstance(one.thing, model.Member)]
    parts = {one.thing.package_id for one in changes if isinstance(one.thing, _PARTS)}
    touched = parts | {one.thing.table_id for one in members if one.thing.table_name == "package"}
    ended = {package_id for package_id, change in packages.items() if change.ended or change.gone}
    for change in packages.values():
        yield from _package_events(change, also_touched=change.thing.id in touched)
    yield from _part_events(parts - packages.keys(), session)
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


def _part_events(package_ids: Set[str], session: Any) -> Iterator[Event]:
    """CKAN 2.11 writes new tags and extras without their dataset."""
    for package_id in package_ids:
        package = session.get(model.Package, package_id)
        if package is not None and package.state == "active":
            yield catalogue.DatasetUpdate(dataset_id=package_id)


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
