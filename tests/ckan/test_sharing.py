"""What tile servers without users have: public layers of the moment, whatever happens on the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ckan.plugins.toolkit as tk
import psycopg2
import pytest
import sqlalchemy as sa
from ckan import authz, model
from workers import DEADLINE_S, command, settings

from ckanext.hdxjobs.geopreview import dataset, db, hooks, job, publish, sharing, sweep
from ckanext.hdxjobs.geopreview.preview import engine

Call = Callable[..., Any]
Ask = Callable[[], "bytes | None"]

pytestmark = pytest.mark.ckan_config("ckanext.hdxjobs.tiles.share", True)

AWAY = "postgresql://nobody@127.0.0.1:9/geo"


@pytest.fixture
def hurried() -> None:
    """A save waits for the map database as long as it may, and no longer."""


@pytest.fixture(autouse=True)
def _map_database_believed_to_be_well(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is hurried it may take its time."""
    sharing.breaker.close()
    if "hurried" not in request.fixturenames:
        monkeypatch.setattr(db, "HURRIED_CONNECT_TIMEOUT_S", 60)
        monkeypatch.setitem(db.queries(), "hurry", "SET LOCAL lock_timeout = '60s'")


@pytest.fixture
def role(geo_url: str) -> Iterator[psycopg2.extensions.connection]:
    """A tile server's own connection."""
    database = urlsplit(geo_url).path
    parts = urlsplit(os.environ["HDXJOBS_TEST_PG_URL"])._replace(path=database)
    name = f"{database[1:]}_tile_server"
    admin = psycopg2.connect(urlunsplit(parts))
    admin.autocommit = True
    admin.cursor().execute(f"DROP ROLE IF EXISTS {name}")
    admin.cursor().execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE hdxjobs_public")
    connection = psycopg2.connect(
        urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}"))
    )
    connection.autocommit = True
    yield connection
    connection.close()
    admin.cursor().execute(f"DROP ROLE {name}")
    admin.close()


@pytest.fixture
def switched_off(ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.tiles.share", False)


@pytest.fixture
def tile(layer: dict[str, Any], role: psycopg2.extensions.connection) -> Ask:
    """Ask for the layer's tile as a tile server."""

    def ask() -> bytes | None:
        with role.cursor() as cursor:
            cursor.execute(f"SELECT hdxjobs_public.layer_{layer['layer_id']}(0, 0, 0)")
            (mvt,) = cursor.fetchone() or (None,)
            return None if mvt is None else bytes(mvt)

    return ask


@pytest.fixture
def ruled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """From then on another plugin's rule says whether datasets may be seen, the last answer again and again."""

    def rule(*answers: bool) -> None:
        """Rules of plugins ask CKAN's database too."""
        left = list(answers)

        @tk.auth_allow_anonymous_access
        def package_show(context: Any, data_dict: Any) -> dict[str, Any]:
            model.Session.query(model.User).count()
            return {"success": left.pop(0) if len(left) > 1 else left[0]}

        monkeypatch.setitem(authz._AuthFunctions._functions, "package_show", package_show)

    return rule


def is_shared(tile: Ask) -> bool:
    """Whether the tile server has a function of the layer."""
    try:
        return tile() is not None
    except psycopg2.errors.UndefinedFunction:
        return False


def write_behind_ckans_back(table: Any, row_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(table.update().where(table.c.id == row_id).values(**values))


def lapse(geo_url: str, left: str = "-1 second") -> None:
    """As if CKAN had renewed nothing for a while."""
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE hdxjobs.resource SET shared_until = now() + %s::interval WHERE shared", [left])
    connection.close()


def minutes_left(geo_url: str) -> float:
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM shared_until - now()) / 60 FROM hdxjobs.resource")
        (minutes,) = cursor.fetchone() or (0,)
    connection.close()
    return float(minutes)


# Giving


def test_a_public_layer_is_shared_when_its_import_is_done(tile: Ask) -> None:
    assert tile()


def test_a_layer_of_a_private_dataset_is_not(layer: dict[str, Any], call: Call, tile: Ask) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    call("hdx_geopreview_submit", id=layer["resource_id"], force=True)
    job.run_preview(layer["resource_id"], 2)
    assert not is_shared(tile)


@pytest.mark.usefixtures("switched_off", "tile")
def test_nothing_is_shared_unless_the_site_wants_it(tile: Ask) -> None:
    sweep.run()
    assert not is_shared(tile)


def test_a_new_file_of_a_shared_resource_is_shared(layer: dict[str, Any], call: Call, tile: Ask) -> None:
    call("hdx_geopreview_submit", id=layer["resource_id"], force=True)
    job.run_preview(layer["resource_id"], 2)
    assert tile()


def test_a_dataset_made_public_again_is_shared_again(layer: dict[str, Any], call: Call, tile: Ask) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    call("package_patch", id=layer["package_id"], private=False)
    assert tile()


def test_another_plugins_rule_decides_after_the_commit(
    layer: dict[str, Any], call: Call, tile: Ask, ruled: Callable[..., None]
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    ruled(True)
    call("package_patch", id=layer["package_id"], private=False)
    assert tile()


def test_a_dataset_made_public_behind_ckans_back_is_shared_by_the_sweep(
    layer: dict[str, Any], call: Call, tile: Ask
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    write_behind_ckans_back(model.package_table, layer["package_id"], private=False)
    assert sweep.run().shared == 1
    assert tile()


# Taking back


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(
            lambda call, layer: call("package_patch", id=layer["package_id"], private=True), id="private"
        ),
        pytest.param(
            lambda call, layer: call("package_patch", id=layer["package_id"], state="draft"), id="draft"
        ),
        pytest.param(lambda call, layer: call("package_delete", id=layer["package_id"]), id="package_delete"),
        pytest.param(lambda call, layer: call("dataset_purge", id=layer["package_id"]), id="dataset_purge"),
        pytest.param(
            lambda call, layer: call("resource_delete", id=layer["resource_id"]), id="resource_delete"
        ),
        pytest.param(
            lambda call, layer: call("hdx_geopreview_delete", id=layer["resource_id"]), id="preview"
        ),
        pytest.param(
            lambda call, layer: call("resource_patch", id=layer["resource_id"], format="PDF", url="a.pdf"),
            id="no geodata",
        ),
    ],
)
def test_what_is_not_public_any_more_is_taken_back_before_the_action_returns(
    layer: dict[str, Any], call: Call, tile: Ask, action: Any
) -> None:
    action(call, layer)
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        tile()


@pytest.mark.parametrize("action", ["bulk_update_private", "bulk_update_delete"])
def test_the_bulk_actions_take_back(
    layer: dict[str, Any], people: dict[str, Any], call: Call, tile: Ask, action: str
) -> None:
    call(action, datasets=[layer["package_id"]], org_id=people["org"]["id"])
    assert not is_shared(tile)


def test_datasets_that_are_deleted_many_at_once_lose_their_previews(
    layer: dict[str, Any], people: dict[str, Any], call: Call, row: Call
) -> None:
    call("bulk_update_delete", datasets=[layer["package_id"]], org_id=people["org"]["id"])
    assert row(layer["resource_id"])["state"] == "deleted"


@pytest.fixture
def during_commit() -> Iterator[list[Callable[[], None]]]:
    """What is to be done when CKAN and its plugins are through with what they do before a commit."""
    steps: list[Callable[[], None]] = []

    def run(session: Any) -> None:
        while steps:
            steps.pop()()

    sa.event.listen(model.Session, "before_commit", run)
    yield steps
    sa.event.remove(model.Session, "before_commit", run)


def test_it_is_taken_back_before_the_commit(
    layer: dict[str, Any], tile: Ask, during_commit: list[Callable[[], None]]
) -> None:
    seen: list[bool] = []
    model.Package.get(layer["package_id"]).private = True
    during_commit.append(lambda: seen.append(is_shared(tile)))
    model.Session.commit()
    assert seen == [False]


def test_the_layers_of_a_deleted_preview_are_taken_back_before_the_commit(
    layer: dict[str, Any], tile: Ask
) -> None:
    found = dataset.resource(layer["resource_id"])
    assert found is not None
    hooks.remove(found)
    during = is_shared(tile)
    model.Session.rollback()
    assert not during


def test_a_save_that_is_rolled_back_ends_shared(layer: dict[str, Any], tile: Ask) -> None:
    model.Package.get(layer["package_id"]).private = True
    hooks.dataset_commits(model.Package.get(layer["package_id"]))
    model.Session.rollback()
    taken = not is_shared(tile)
    assert (taken, sweep.run().shared, is_shared(tile)) == (True, 1, True)


def test_what_a_sweep_gave_during_the_save_is_taken_back_after_it(
    layer: dict[str, Any], geo_url: str, tile: Ask, during_commit: list[Callable[[], None]]
) -> None:
    model.Package.get(layer["package_id"]).private = True
    shared: list[int] = []
    during_commit.append(
        lambda: shared.append(publish.share(resource_id=layer["resource_id"], shared=True, dsn=geo_url))
    )
    model.Session.commit()
    assert (shared, is_shared(tile)) == ([1], False)


def test_a_dataset_made_private_behind_ckans_back_is_taken_back_by_the_sweep(
    layer: dict[str, Any], tile: Ask
) -> None:
    write_behind_ckans_back(model.package_table, layer["package_id"], private=True)
    assert sweep.run().unshared == 1
    assert not is_shared(tile)


def test_what_another_plugin_hides_is_not_shared(
    layer: dict[str, Any], call: Call, tile: Ask, ruled: Callable[..., None]
) -> None:
    ruled(False)
    call("package_patch", id=layer["package_id"], notes="New notes")
    assert not is_shared(tile)


def test_the_sweep_takes_back_what_another_plugin_hides(
    layer: dict[str, Any], tile: Ask, ruled: Callable[..., None]
) -> None:
    ruled(False)
    assert sweep.run().unshared == 1
    assert not is_shared(tile)


def test_what_becomes_private_while_it_is_given_is_taken_back(
    layer: dict[str, Any], geo_url: str, tile: Ask, ruled: Callable[..., None]
) -> None:
    publish.unshare([layer["resource_id"]], dsn=geo_url)
    ruled(True, False)
    assert sweep.run().shared == 0
    assert not is_shared(tile)


def test_switched_off_the_sweep_takes_all_back(tile: Ask, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("switched_off")
    assert sweep.run().unshared == 1
    assert not is_shared(tile)


# Faults


def test_without_the_map_database_the_save_succeeds_and_a_later_sweep_takes_back(
    layer: dict[str, Any], call: Call, tile: Ask, ckan_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(ckan_config, "ckanext.hdxjobs.postgis.url", AWAY)
        saved = call("package_patch", id=layer["package_id"], private=True)
    before = is_shared(tile)
    sweep.run()
    assert (saved["private"], before, is_shared(tile)) == (True, True, False)


def test_a_locked_map_database_delays_a_save_but_does_not_stop_it(
    layer: dict[str, Any], call: Call, geo_url: str, hurried: None
) -> None:
    holder = psycopg2.connect(geo_url)
    holder.cursor().execute("SELECT 1 FROM hdxjobs.resource FOR UPDATE")
    saved = call("package_patch", id=layer["package_id"], private=True)
    holder.close()
    assert saved["private"]


def test_what_nobody_renews_gives_nothing_any_more(layer: dict[str, Any], geo_url: str, tile: Ask) -> None:
    lapse(geo_url)
    assert tile() is None


@pytest.mark.parametrize("left", ["-1 second", "1 minute"])
def test_the_sweep_renews_what_is_public(layer: dict[str, Any], geo_url: str, tile: Ask, left: str) -> None:
    lapse(geo_url, left)
    sweep.run()
    assert tile()
    assert minutes_left(geo_url) > 5


def test_a_new_generation_does_not_revive_what_has_lapsed(
    layer: dict[str, Any],
    call: Call,
    geo_url: str,
    tile: Ask,
    ckan_config: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lapse(geo_url)
    with monkeypatch.context() as patch:
        patch.setitem(ckan_config, "ckanext.hdxjobs.tiles.share", False)
        call("hdx_geopreview_submit", id=layer["resource_id"], force=True)
        job.run_preview(layer["resource_id"], 2)
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        tile()


def test_two_sweeps_of_the_command_line_at_once_do_no_harm(
    layer: dict[str, Any], geo_url: str, tile: Ask, tmp_path: Path
) -> None:
    publish.unshare([layer["resource_id"]], dsn=geo_url)
    ini = settings(tmp_path, {"ckanext.hdxjobs.tiles.share": "true"})
    sweeps = [subprocess.Popen(command("hdxjobs", "sweep", ini=ini)) for _ in range(2)]
    assert [process.wait(timeout=DEADLINE_S) for process in sweeps] == [0, 0]
    assert tile()


def test_a_frozen_map_database_is_asked_once_and_stops_no_save(
    layer: dict[str, Any],
    call: Call,
    ckan_config: Any,
    monkeypatch: pytest.MonkeyPatch,
    silent_server: Any,
    hurried: None,
) -> None:
    frozen = f"postgresql://nobody@127.0.0.1:{silent_server.port}/geo"
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.postgis.url", frozen)
    saved = [call("package_patch", id=layer["package_id"], private=private) for private in (True, False)]
    assert [each["private"] for each in saved] == [True, False]
    assert silent_server.connections() == 1


def test_a_dataset_whose_organization_is_deleted_stays_public_and_shared(
    people: dict[str, Any], layer: dict[str, Any], call: Call, tile: Ask
) -> None:
    call("organization_delete", id=people["org"]["id"])
    assert tile()
