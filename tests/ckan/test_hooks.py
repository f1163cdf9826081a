"""Saving datasets: which saves make jobs, and that none is ever harmed."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
import redis
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.geopreview import hooks, record
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine

Call = Callable[..., Any]

GEOJSON = {"url": "https://example.org/places.geojson", "format": "GeoJSON"}


def upload(name: str = "places.geojson", text: str = "{}") -> FileStorage:
    return FileStorage(io.BytesIO(text.encode()), filename=name)


def test_each_kind_of_save_makes_as_many_jobs_as_there_are_new_files(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int], row: Callable[[str], dict[str, Any]]
) -> None:
    counts: dict[str, int] = {}
    package_id = dataset["id"]

    first = call("resource_create", package_id=package_id, name="one", upload=upload())
    second = call("resource_create", package_id=package_id, name="two", **GEOJSON)
    counts["two resource_create"] = new_jobs()

    call("resource_patch", id=first["id"], name="renamed")
    counts["rename"] = new_jobs()

    call("package_resource_reorder", id=package_id, order=[second["id"], first["id"]])
    counts["reorder"] = new_jobs()

    call("package_patch", id=package_id, notes="New notes")
    counts["notes"] = new_jobs()

    call("package_patch", id=package_id, private=False, owner_org=factories.Organization()["id"])
    counts["owner"] = new_jobs()

    call("package_patch", id=package_id, private=True)
    counts["private"] = new_jobs()

    call("resource_patch", id=first["id"], upload=upload(text='{"new": 1}'))
    counts["new file of the same name"] = new_jobs()

    call("package_revise", match={"id": package_id}, update__resources__extend=[dict(GEOJSON, name="three")])
    counts["package_revise that adds a resource"] = new_jobs()

    pdf = {"url": "https://example.org/report.pdf", "format": "PDF"}
    factories.Dataset(
        resources=[dict(GEOJSON), dict(GEOJSON, format="KML"), {"url": "https://example.org/a.kmz"}, pdf]
    )
    counts["package_create with three geo resources and a PDF"] = new_jobs()

    call("resource_delete", id=first["id"])
    counts["delete"] = new_jobs()

    assert counts == {
        "two resource_create": 2,
        "rename": 0,
        "reorder": 0,
        "notes": 0,
        "owner": 0,
        "private": 0,
        "new file of the same name": 1,
        "package_revise that adds a resource": 1,
        "package_create with three geo resources and a PDF": 3,
        "delete": 0,
    }
    assert row(first["id"])["state"] == "deleted"
    assert not record.is_served(first["id"])


def test_the_job_carries_ids_only(dataset: dict[str, Any], call: Call, jobs: Callable[[], Any]) -> None:
    resource = call("resource_create", package_id=dataset["id"], **GEOJSON)
    assert jobs() == [(resource["id"], 1)]


def test_a_draft_dataset_is_imported_at_once(site: None, new_jobs: Callable[[], int]) -> None:
    factories.Dataset(state="draft", resources=[dict(GEOJSON)])
    assert new_jobs() == 1


def test_a_deleted_dataset_loses_its_previews(
    site: None, call: Call, row: Callable[[str], dict[str, Any]]
) -> None:
    made = factories.Dataset(resources=[dict(GEOJSON)])
    call("package_delete", id=made["name"])
    assert row(made["resources"][0]["id"])["state"] == "deleted"


def test_a_dataset_that_comes_back_gets_its_previews_again(
    site: None, call: Call, jobs: Callable[[], Any], row: Callable[[str], dict[str, Any]]
) -> None:
    made = factories.Dataset(resources=[dict(GEOJSON)])
    resource_id = made["resources"][0]["id"]
    call("package_delete", id=made["id"])
    call("package_patch", id=made["id"], state="active")
    assert jobs()[-1] == (resource_id, 2)
    assert row(resource_id)["state"] == "queued"


def test_a_purged_dataset_leaves_its_rows_to_the_sweep(
    site: None, call: Call, row: Callable[[str], dict[str, Any]]
) -> None:
    made = factories.Dataset(resources=[dict(GEOJSON)])
    call("dataset_purge", id=made["id"])
    found = row(made["resources"][0]["id"])
    assert (found["state"], found["retired_at"]) == ("deleted", None)


def test_a_format_that_is_none_of_ours_takes_the_preview_away(
    dataset: dict[str, Any], call: Call, row: Callable[[str], dict[str, Any]]
) -> None:
    resource = call("resource_create", package_id=dataset["id"], **GEOJSON)
    call("resource_patch", id=resource["id"], format="PDF")
    assert row(resource["id"])["state"] == "deleted"
    assert "shape_info" not in call("resource_show", id=resource["id"])


@pytest.mark.ckan_config("ckanext.hdxjobs.geopreview.enabled", False)
def test_switched_off_no_save_makes_a_job(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int]
) -> None:
    call("resource_create", package_id=dataset["id"], **GEOJSON)
    assert new_jobs() == 0


def test_a_rolled_back_save_leaves_no_row_and_no_job(
    dataset: dict[str, Any], new_jobs: Callable[[], int]
) -> None:
    package = model.Package.get(dataset["id"])
    model.Session.add(model.Resource(package_id=package.id, **GEOJSON))
    model.Session.flush()
    hooks.dataset_saved(package.id)
    model.Session.rollback()
    model.Session.commit()
    assert new_jobs() == 0
    with engine().connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(PREVIEW)).scalar() == 0


def test_a_rolled_back_savepoint_asks_for_nothing_when_the_rest_is_committed(
    dataset: dict[str, Any], new_jobs: Callable[[], int]
) -> None:
    nested = model.Session.begin_nested()
    model.Session.add(model.Resource(package_id=dataset["id"], **GEOJSON))
    model.Session.flush()
    inner = model.Session.begin_nested()
    hooks.dataset_saved(dataset["id"])
    inner.commit()
    nested.rollback()
    model.Session.commit()
    assert new_jobs() == 0


def test_the_bell_rings_only_after_the_outermost_commit(
    dataset: dict[str, Any], new_jobs: Callable[[], int]
) -> None:
    nested = model.Session.begin_nested()
    model.Session.add(model.Resource(package_id=dataset["id"], **GEOJSON))
    model.Session.flush()
    hooks.dataset_saved(dataset["id"])
    nested.commit()
    before = new_jobs()
    model.Session.commit()
    assert (before, new_jobs()) == (0, 1)


def test_a_session_that_is_thrown_away_asks_for_nothing(
    dataset: dict[str, Any], new_jobs: Callable[[], int]
) -> None:
    model.Session.add(model.Resource(package_id=dataset["id"], **GEOJSON))
    model.Session.flush()
    hooks.dataset_saved(dataset["id"])
    model.Session.remove()
    model.Session.commit()
    assert new_jobs() == 0


class _Spoiler(p.SingletonPlugin):
    """Another plugin, loaded after ours, that refuses each save."""

    p.implements(p.IPackageController, inherit=True)

    def after_dataset_update(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        raise tk.ValidationError({"name": ["spoiled"]})


def test_a_save_that_a_later_plugin_refuses_makes_no_job(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int], provide_plugin: Any
) -> None:
    provide_plugin("spoiler", _Spoiler)
    p.load("spoiler")
    with pytest.raises(tk.ValidationError):
        call("resource_create", package_id=dataset["id"], **GEOJSON)
    p.unload("spoiler")
    model.Session.rollback()
    model.Session.commit()
    assert new_jobs() == 0


def test_our_fault_does_not_spoil_the_save(
    dataset: dict[str, Any], call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with engine().begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE hdxjobs_preview ADD CONSTRAINT broken CHECK (generation < 0) NOT VALID")
        )
    try:
        resource = call("resource_create", package_id=dataset["id"], **GEOJSON)
        assert call("resource_show", id=resource["id"])["url"] == GEOJSON["url"]
        assert "could not be queued" in caplog.text
    finally:
        with engine().begin() as connection:
            connection.execute(sa.text("ALTER TABLE hdxjobs_preview DROP CONSTRAINT broken"))


@pytest.mark.parametrize("version", ["base", "8c2a64e91f07"])
def test_before_the_migration_saves_and_pages_work_and_the_log_says_what_to_do(
    site: None, call: Call, app: Any, migrate_db_for: Any, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    model.Session.remove()
    migrate_db_for("hdxjobs", version, False)
    try:
        made = factories.Dataset(resources=[dict(GEOJSON)])
        page = app.get(f"/dataset/{made['id']}/resource/{made['resources'][0]['id']}")
        assert page.status_code == 200
        assert "ckan db upgrade -p hdxjobs" in caplog.text
    finally:
        model.Session.remove()
        migrate_db_for("hdxjobs")


def test_redis_down_fails_no_save_and_the_row_waits_for_the_sweep(
    dataset: dict[str, Any],
    call: Call,
    row: Callable[[str], dict[str, Any]],
    ckan_config: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")
    resource = call("resource_create", package_id=dataset["id"], **GEOJSON)
    found = row(resource["id"])
    assert (found["state"], found["rung_at"]) == ("queued", None)


def test_frozen_redis_is_asked_once_and_then_left_alone(
    dataset: dict[str, Any], call: Call, silent_server: Any, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", f"redis://127.0.0.1:{silent_server.port}/0")
    for number in range(5):
        call("resource_create", package_id=dataset["id"], name=str(number), **GEOJSON)
    assert queues.breaker.is_open()
    assert silent_server.connections() == 1


def test_redis_restarted_between_two_saves_loses_no_bell(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int]
) -> None:
    call("resource_create", package_id=dataset["id"], name="before", **GEOJSON)
    with redis.Redis.from_url(config.redis_url()) as other:
        other.client_kill_filter(_id=queues.connection().client_id())
    call("resource_create", package_id=dataset["id"], name="after", **GEOJSON)
    assert new_jobs() == 2


def statements_of_a_save(package_id: str) -> int:
    """How often a publisher waits for the way to the database and back, because of us."""
    statements: list[str] = []

    def listen(*event: Any) -> None:
        statements.append(event[2])

    sa.event.listen(engine(), "before_cursor_execute", listen)
    try:
        hooks.dataset_saved(package_id)
    finally:
        sa.event.remove(engine(), "before_cursor_execute", listen)
        model.Session.rollback()
    return len(statements)


def test_a_save_without_a_new_file_pays_for_three_statements(dataset: dict[str, Any], call: Call) -> None:
    call("resource_create", package_id=dataset["id"], **GEOJSON)
    assert statements_of_a_save(dataset["id"]) == 3


@pytest.mark.parametrize("files", [1, 6])
def test_a_save_pays_for_two_statements_more_however_many_files_are_new(
    dataset: dict[str, Any], call: Call, files: int
) -> None:
    resources = [{"url": f"https://example.org/{number}.geojson"} for number in range(files)]
    call("package_patch", id=dataset["id"], resources=resources)
    table = model.resource_table
    with engine().begin() as connection:
        connection.execute(table.update().values(url=table.c.url + "?new.geojson"))
    assert statements_of_a_save(dataset["id"]) == 5


def test_a_format_that_is_switched_off_makes_no_job(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int], ckan_config: Any
) -> None:
    ckan_config["ckanext.hdxjobs.geopreview.formats"] = "kml Shapefile"

    call("resource_create", package_id=dataset["id"], **GEOJSON)
    off = new_jobs()
    call("resource_create", package_id=dataset["id"], **dict(GEOJSON, format="KML"))

    assert (off, new_jobs()) == (0, 1)


@pytest.mark.usefixtures("with_plugins")
def test_a_format_that_nobody_knows_is_no_setting() -> None:
    validate = tk.get_validator("hdxjobs_formats")

    assert validate("GeoJSON kml") == ["GeoJSON", "kml"]
    with pytest.raises(tk.Invalid, match="No such format: Papyrus"):
        validate("GeoJSON Papyrus")


def test_the_history_keeps_the_newest_ten_with_the_moment_of_each(
    dataset: dict[str, Any], call: Call, row: Callable[[str], dict[str, Any]]
) -> None:
    resource = call("resource_create", package_id=dataset["id"], **GEOJSON)
    for _ in range(12):
        call("hdx_geopreview_submit", id=resource["id"], force=True)
    kept = row(resource["id"])
    moments = [datetime.fromisoformat(entry["timestamp"]) for entry in kept["shape_info"]]
    assert len(moments) == 10
    assert moments == sorted(set(moments))
    assert moments[-1] == kept["queued_at"].astimezone(timezone.utc).replace(tzinfo=None)
