"""Saving: which saves are events, that each is one, and that they share the save's fate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.plugins import toolkit as tk
from ckan.tests import factories
from outbox_view import Events

Call = Callable[..., Any]

LINK = {"url": "https://example.org/table.csv", "format": "CSV"}


@pytest.fixture
def org(events: Events) -> dict[str, Any]:
    made: dict[str, Any] = factories.Organization()
    events.clear()
    return made


@pytest.fixture
def dataset(org: dict[str, Any], call: Call, events: Events) -> dict[str, Any]:
    made: dict[str, Any] = call(
        "package_create",
        name="wells",
        owner_org=org["id"],
        resources=[{"name": "a", **LINK}, {"name": "b", **LINK}],
    )
    events.clear()
    return made


def test_a_new_dataset_with_resources_is_an_event_each(
    org: dict[str, Any], call: Call, events: Events
) -> None:
    call("package_create", name="wells", owner_org=org["id"], resources=[LINK, LINK])

    assert sorted(events.names()) == ["dataset create", "resource create", "resource create"]


def test_a_dataset_create_tells_what_the_original_told(
    org: dict[str, Any], call: Call, events: Events
) -> None:
    group, author = factories.Group(), factories.Sysadmin()
    events.clear()
    # CKAN 2.11 puts a dataset only into groups that its author may see, whatever else is ignored.
    made = tk.get_action("package_create")(
        {"ignore_auth": True, "user": author["name"]},
        {"name": "wells", "owner_org": org["id"], "groups": [{"id": group["id"]}]},
    )

    assert events.only() == {
        "dataset id": made["id"],
        "dataset name": "wells",
        "dataset availability": "public",
        "org_id": org["id"],
        "org_name": org["name"],
        "group ids": [group["id"]],
        "group names": [group["name"]],
        "is private": False,
        "event source": "cli",
        "server side": True,
    }


def test_a_private_dataset_keeps_its_name(org: dict[str, Any], call: Call, events: Events) -> None:
    call(
        "package_create",
        name="secret-plan",
        owner_org=org["id"],
        private=True,
        resources=[{"name": "plan", **LINK}],
    )

    assert "plan" not in str([row["properties"] for row in events.rows()])


def test_a_draft_counts_when_it_is_finished(org: dict[str, Any], call: Call, events: Events) -> None:
    made = call("package_create", name="wells", owner_org=org["id"], state="draft")
    before = events.names()
    call("package_patch", id=made["id"], state="active")

    assert (before, events.names()) == ([], ["dataset create"])


SAVES: list[tuple[str, Callable[[Call, dict[str, Any]], Any], list[str]]] = [
    ("notes", lambda call, it: call("package_patch", id=it["id"], notes="new"), ["dataset update"]),
    ("tags", lambda call, it: call("package_patch", id=it["id"], tags=[{"name": "water"}]), ["dataset update"]),
    ("extras", lambda call, it: call("package_patch", id=it["id"], extras=[{"key": "a", "value": "b"}]), ["dataset update"]),
    ("private", lambda call, it: call("package_patch", id=it["id"], private=True), ["dataset update"]),
    ("nothing", lambda call, it: call("package_patch", id=it["id"]), []),
    ("resource rename", lambda call, it: call("resource_patch", id=it["resources"][0]["id"], name="c"), ["resource update"]),
    ("resource create", lambda call, it: call("resource_create", package_id=it["id"], **LINK), ["resource create"]),
    ("resource delete", lambda call, it: call("resource_delete", id=it["resources"][0]["id"]), ["resource delete"]),
    (
        "reorder",
        lambda call, it: call("package_resource_reorder", id=it["id"], order=[one["id"] for one in it["resources"][::-1]]),
        [],
    ),
    ("in bulk", lambda call, it: call("bulk_update_private", datasets=[it["id"]], org_id=it["owner_org"]), ["dataset update"]),
    ("delete in bulk", lambda call, it: call("bulk_update_delete", datasets=[it["id"]], org_id=it["owner_org"]), ["dataset delete"]),
    ("delete", lambda call, it: call("package_delete", id=it["id"]), ["dataset delete"]),
    ("purge", lambda call, it: call("dataset_purge", id=it["id"]), ["dataset delete"]),
]  # fmt: skip


@pytest.mark.parametrize(("save", "names"), [row[1:] for row in SAVES], ids=[row[0] for row in SAVES])
def test_a_save_is_exactly_its_events(
    dataset: dict[str, Any], call: Call, events: Events, save: Any, names: list[str]
) -> None:
    save(call, dataset)

    assert events.names() == names


def test_purging_what_was_deleted_is_no_second_event(
    dataset: dict[str, Any], call: Call, events: Events
) -> None:
    call("package_delete", id=dataset["id"])
    call("dataset_purge", id=dataset["id"])

    assert events.names() == ["dataset delete"]


def test_a_new_organization_is_one_event(events: Events) -> None:
    org = factories.Organization()

    assert events.names() == ["org create"]
    assert (events.only()["org id"], events.only()["org name"]) == (org["id"], org["name"])


def test_a_membership_is_told_from_its_beginning_to_its_end(
    org: dict[str, Any], call: Call, events: Events
) -> None:
    user = factories.User()
    for role in ("editor", "admin"):
        call("organization_member_create", id=org["id"], username=user["name"], role=role)
    tk.get_action("organization_member_delete")(
        {"ignore_auth": True, "user": factories.Sysadmin()["name"]},
        {"id": org["id"], "username": user["name"]},
    )

    assert events.names() == ["member add", "member change", "member remove"]


def test_a_membership_never_says_whose(org: dict[str, Any], call: Call, events: Events) -> None:
    user = factories.User()
    call("organization_member_create", id=org["id"], username=user["name"], role="editor")

    told = str(events.rows())
    assert user["name"] not in told
    assert user["id"] not in told


def test_a_save_that_is_rolled_back_leaves_no_event(org: dict[str, Any], events: Events) -> None:
    model.Session.add(model.Package(name="never", type="dataset", owner_org=org["id"]))
    model.Session.flush()
    model.Session.rollback()
    model.Session.commit()

    assert events.names() == []


def test_a_savepoint_that_is_rolled_back_leaves_no_event(org: dict[str, Any], events: Events) -> None:
    nested = model.Session.begin_nested()
    model.Session.add(model.Package(name="never", type="dataset", owner_org=org["id"]))
    model.Session.flush()
    nested.rollback()
    model.Session.add(model.Package(name="kept", type="dataset", owner_org=org["id"]))
    model.Session.commit()

    assert [row["properties"]["dataset name"] for row in events.rows()] == ["kept"]


def test_the_event_is_there_in_the_very_moment_of_the_commit(org: dict[str, Any], events: Events) -> None:
    model.Session.add(model.Package(name="wells", type="dataset", owner_org=org["id"]))
    before = events.names()
    model.Session.commit()

    assert (before, events.names()) == ([], ["dataset create"])


def test_a_save_does_not_care_that_the_outbox_is_not_there(
    org: dict[str, Any], call: Call, events: Events, ckan_config: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.analytics.spool_folder", str(tmp_path))
    model.Session.execute(sa.text("ALTER TABLE hdxjobs_event RENAME TO hdxjobs_event_away"))
    model.Session.commit()
    try:
        made = call("package_create", name="wells", owner_org=org["id"])
    finally:
        model.Session.rollback()
        model.Session.execute(sa.text("ALTER TABLE hdxjobs_event_away RENAME TO hdxjobs_event"))
        model.Session.commit()

    assert call("package_show", id=made["id"])["name"] == "wells"


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.actions", "package_create")
def test_only_the_actions_of_the_setting_are_tracked(org: dict[str, Any], call: Call, events: Events) -> None:
    made = call("package_create", name="wells", owner_org=org["id"], resources=[LINK])
    call("package_patch", id=made["id"], notes="new")

    assert events.names() == ["dataset create"]


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.actions", "package_search")
def test_any_action_can_be_tracked(call: Call, events: Events) -> None:
    call("package_search", q="water")

    assert (events.names(), events.only()["action name"]) == (["action"], "package_search")


@pytest.mark.ckan_config("ckanext.hdxjobs.analytics.enabled", False)
def test_switched_off_nothing_is_tracked(org: dict[str, Any], call: Call, events: Events) -> None:
    call("package_create", name="wells", owner_org=org["id"])

    assert events.names() == []
