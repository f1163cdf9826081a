"""The sweep and the commands: whatever was lost on the way is found again."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from ckan import model
from click.testing import CliRunner
from werkzeug.datastructures import FileStorage
from workers import DEADLINE_S

from ckanext.hdxjobs import cli, config, queues
from ckanext.hdxjobs.errors import DetectError, LoadError, PreviewError
from ckanext.hdxjobs.geopreview import attempt, job, remedies, sweep, workplace
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine

Call = Callable[..., Any]

POINT = {"type": "Point", "coordinates": [29.2, -1.7]}
GEOJSON = {"url": "https://example.org/places.geojson", "format": "GeoJSON"}


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """A resource whose preview is queued, and heard by nobody."""
    upload = FileStorage(io.BytesIO(json.dumps(POINT).encode()), filename="point.geojson")
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], upload=upload)
    return made


def ago(resource: dict[str, Any], seconds: int, *columns: str) -> None:
    """As if some moments of a row were longer past."""
    moment = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    with engine().begin() as connection:
        connection.execute(
            PREVIEW.update()
            .where(PREVIEW.c.resource_id == resource["id"])
            .values(dict.fromkeys(columns, moment))
        )


def swallow_bells() -> None:
    """Redis comes back empty."""
    queues.connection().flushdb()


def count_tables(geo_url: str) -> int:
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'hdxjobs'::regnamespace"
            " AND relkind = 'r' AND relname LIKE 'l\\_%'"
        )
        (count,) = cursor.fetchone() or (0,)
    connection.close()
    return int(count)


def test_a_bell_that_redis_lost_is_rung_again(resource: dict[str, Any], jobs: Callable[[], Any]) -> None:
    swallow_bells()
    ago(resource, sweep.UNHEARD_S + 5, "rung_at")
    assert sweep.run().rung == 1
    assert jobs() == [(resource["id"], 1)]


def test_a_save_without_redis_is_queued_once_redis_is_back(
    dataset: dict[str, Any], call: Call, jobs: Callable[[], Any], ckan_config: Any, monkeypatch: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")
        made = call("resource_create", package_id=dataset["id"], **GEOJSON)
        assert sweep.run().rung == 0
    queues.breaker.close()
    assert sweep.run().rung == 1
    assert jobs() == [(made["id"], 1)]


def test_a_bell_that_still_waits_is_not_rung_twice(resource: dict[str, Any], jobs: Callable[[], Any]) -> None:
    ago(resource, sweep.UNHEARD_S + 5, "rung_at")
    assert sweep.run().rung == 0
    assert len(jobs()) == 1


def test_a_run_whose_worker_died_is_queued_again(resource: dict[str, Any], row: Call) -> None:
    swallow_bells()
    attempt.claim(resource["id"], 1)
    ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
    assert sweep.run().lost == 1
    assert (row(resource["id"])["state"], row(resource["id"])["attempt"]) == ("queued", 1)


def test_a_lost_run_that_somebody_changes_now_is_left_for_the_next_sweep(
    resource: dict[str, Any], row: Call
) -> None:
    """Whoever waits for a row while it holds others can be waited for."""
    attempt.claim(resource["id"], 1)
    ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
    with engine().begin() as other:
        other.execute(sa.select(PREVIEW).where(PREVIEW.c.resource_id == resource["id"]).with_for_update())
        assert sweep.run().lost == 0
    assert (row(resource["id"])["state"], sweep.run().lost) == ("running", 1)


def test_a_run_that_beats_is_left_alone(resource: dict[str, Any], row: Call) -> None:
    attempt.claim(resource["id"], 1)
    assert sweep.run().lost == 0
    assert row(resource["id"])["state"] == "running"


def test_the_dead_workers_claim_is_void(resource: dict[str, Any]) -> None:
    first = attempt.claim(resource["id"], 1)
    ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
    sweep.run()
    second = attempt.claim(resource["id"], 1)
    assert first is not None
    assert second is not None
    assert attempt.fail(first, LoadError("internal")) is None
    assert attempt.beat(second, phase="fetch", progress=None)


def test_a_file_that_kills_each_worker_is_given_up(resource: dict[str, Any], row: Call) -> None:
    for _ in range(remedies.MAX_LOST_JOBS):
        assert attempt.claim(resource["id"], 1)
        ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
        sweep.run()
    assert (row(resource["id"])["state"], row(resource["id"])["error_code"]) == ("failed", "internal")


def test_tries_that_failed_with_a_word_are_no_deaths(resource: dict[str, Any], row: Call) -> None:
    """A worker's death after many tries is its first, and costs a try like any other."""
    for _ in range(remedies.MAX_LOST_JOBS + 1):
        claim = attempt.claim(resource["id"], 1)
        assert claim is not None
        attempt.fail(claim, LoadError("database-unavailable"))
        ago(resource, 0, "next_at")
    assert attempt.claim(resource["id"], 1)
    ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
    sweep.run()
    assert (row(resource["id"])["state"], row(resource["id"])["deaths"]) == ("queued", 1)


def test_deaths_over_one_file_are_not_those_over_the_next(
    resource: dict[str, Any], call: Call, row: Call
) -> None:
    attempt.claim(resource["id"], 1)
    ago(resource, sweep.SILENT_S + 5, "heartbeat_at")
    sweep.run()
    call("hdx_geopreview_submit", id=resource["id"], force=True)
    assert (row(resource["id"])["generation"], row(resource["id"])["deaths"]) == (2, 0)


def forget_to_tell(resource: dict[str, Any]) -> None:
    """As if the worker had been killed right after it had recorded the end."""
    ago(resource, sweep.UNTOLD_S + 5, "finished_at")
    with engine().begin() as connection:
        table = model.resource_table
        connection.execute(table.update().where(table.c.id == resource["id"]).values(extras={}))
        views = model.ResourceView.__table__
        connection.execute(views.delete().where(views.c.resource_id == resource["id"]))
    model.Session.remove()


def test_a_map_of_which_a_killed_worker_did_not_tell_reaches_the_resource(
    resource: dict[str, Any], call: Call, geo_url: str
) -> None:
    job.run_preview(resource["id"], 1)
    forget_to_tell(resource)
    assert (sweep.run().told, sweep.run().told) == (1, 0)
    assert json.loads(call("resource_show", id=resource["id"])["shape_info"])[-1]["state"] == "success"
    assert len(call("resource_view_list", id=resource["id"])) == 1


def test_a_failure_of_which_a_killed_worker_did_not_tell_reaches_the_resource(
    resource: dict[str, Any], call: Call
) -> None:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, DetectError("no-features"))
    forget_to_tell(resource)
    assert sweep.run().told == 1
    assert json.loads(call("resource_show", id=resource["id"])["shape_info"])[-1]["state"] == "failure"
    assert call("resource_view_list", id=resource["id"]) == []


def test_an_end_that_its_worker_may_still_tell_is_left_to_it(resource: dict[str, Any]) -> None:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, DetectError("no-features"))
    assert sweep.run().told == 0


def test_a_retry_is_rung_when_it_is_due_and_not_before(
    resource: dict[str, Any], jobs: Callable[[], Any]
) -> None:
    swallow_bells()
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, LoadError("database-unavailable"))
    early = sweep.run().rung
    assert attempt.claim(resource["id"], 1) is None
    ago(resource, 0, "next_at")
    assert (early, sweep.run().rung) == (0, 1)
    assert attempt.claim(resource["id"], 1) is not None


def test_retries_end_after_a_day(resource: dict[str, Any], row: Call) -> None:
    ago(resource, remedies.PATIENCE_S, "queued_at")
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, LoadError("database-unavailable"))
    assert (row(resource["id"])["state"], row(resource["id"])["error_code"]) == (
        "failed",
        "database-unavailable",
    )


@pytest.mark.parametrize(
    ("error", "state"),
    [(LoadError("database-unavailable"), "queued"), (DetectError("no-features"), "failed")],
    ids=["trouble that lasted too long", "the file's own fault"],
)
def test_a_save_of_the_same_file_asks_again_only_where_trouble_lasted_too_long(
    resource: dict[str, Any], call: Call, row: Call, error: PreviewError, state: str
) -> None:
    ago(resource, remedies.PATIENCE_S, "queued_at")
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, error)
    call("resource_patch", id=resource["id"], description="the same file")
    assert row(resource["id"])["state"] == state


def test_the_tables_of_a_purged_dataset_are_dropped(
    resource: dict[str, Any], call: Call, geo_url: str
) -> None:
    job.run_preview(resource["id"], 1)
    before = count_tables(geo_url)
    call("dataset_purge", id=resource["package_id"])
    sweep.run()
    assert (before, count_tables(geo_url)) == (1, 0)


def test_the_old_map_of_a_file_that_is_no_geodata_now_goes_once_the_map_database_is_back(
    resource: dict[str, Any], call: Call, geo_url: str
) -> None:
    job.run_preview(resource["id"], 1)
    call("hdx_geopreview_submit", id=resource["id"], force=True)
    claim = attempt.claim(resource["id"], 2)
    assert claim is not None
    attempt.fail(claim, DetectError("not-geodata"))
    before = count_tables(geo_url)
    sweep.run()
    assert (before, count_tables(geo_url)) == (1, 0)


def stage(resource: dict[str, Any], generation: int, geo_url: str) -> None:
    """As if the import of a generation had been killed before it could publish."""
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        name = f"l_{resource['id'][:8]}_g{generation}"
        cursor.execute(f'CREATE TABLE hdxjobs."{name}" (hdx_fid bigint)')
        cursor.execute(
            "INSERT INTO hdxjobs.resource (resource_id) VALUES (%s) ON CONFLICT DO NOTHING", [resource["id"]]
        )
        cursor.execute(
            "INSERT INTO hdxjobs.layer"
            " (layer_id, generation, resource_id, table_name, name, geometry_type, feature_count, fields,"
            " source_crs) VALUES (%s, %s, %s, %s, 'places', 'point', 1, '[]', 'EPSG:4326')",
            [resource["id"][:8], generation, resource["id"], name],
        )
    connection.close()


def test_the_half_made_table_of_an_overtaken_import_is_dropped_although_the_next_one_failed(
    resource: dict[str, Any], call: Call, geo_url: str
) -> None:
    stage(resource, 1, geo_url)
    call("hdx_geopreview_submit", id=resource["id"], force=True)
    claim = attempt.claim(resource["id"], 2)
    assert claim is not None
    attempt.fail(claim, DetectError("no-features"))
    sweep.run()
    assert count_tables(geo_url) == 0


def test_the_half_made_table_of_an_import_at_work_is_left_to_it(
    resource: dict[str, Any], geo_url: str
) -> None:
    stage(resource, 1, geo_url)
    attempt.claim(resource["id"], 1)
    sweep.run()
    assert count_tables(geo_url) == 1


def test_a_resource_removed_behind_ckans_back_loses_its_preview(resource: dict[str, Any], row: Call) -> None:
    with engine().begin() as connection:
        table = model.resource_table
        connection.execute(table.update().where(table.c.id == resource["id"]).values(state="deleted"))
    assert sweep.run().orphans == 1
    assert row(resource["id"])["state"] == "deleted"


def test_the_work_folder_of_a_killed_job_is_removed(
    site: None, tmp_path: Path, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.work_folder", str(tmp_path))
    monkeypatch.setattr(sweep, "YOUNG_S", -1)
    (tmp_path / (workplace.PREFIX + "left")).mkdir()
    assert sweep.run().folders == 1


def test_two_sweeps_at_once_ring_each_row_once(resource: dict[str, Any], jobs: Callable[[], Any]) -> None:
    swallow_bells()
    ago(resource, sweep.UNHEARD_S + 5, "rung_at")
    total = sweep.run().rung + sweep.run().rung
    assert (total, len(jobs())) == (1, 1)


# Commands


@pytest.fixture
def run() -> Callable[..., Any]:
    """``ckan hdxjobs ...`` in this process."""
    return lambda *words, **options: CliRunner().invoke(cli.hdxjobs, words, **options)


@pytest.fixture
def switched_off(ckan_config: Any, monkeypatch: Any) -> Callable[[], Any]:
    """Within it, saves queue nothing."""

    @contextmanager
    def off() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.enabled", False)
            yield

    return off


def test_submit_asks_for_all_that_was_never_asked_for(
    dataset: dict[str, Any], call: Call, run: Call, jobs: Callable[[], Any], switched_off: Any
) -> None:
    with switched_off():
        made = call("resource_create", package_id=dataset["id"], **GEOJSON)
        call("resource_create", package_id=dataset["id"], url="https://example.org/a.pdf", format="PDF")
    answer = run("submit", "--all")
    assert (answer.exit_code, answer.stdout.strip()) == (0, "1 queued")
    assert jobs() == [(made["id"], 1)]


def test_submit_of_a_dataset_by_name_with_force_makes_new_generations(
    resource: dict[str, Any], dataset: dict[str, Any], run: Call, row: Call
) -> None:
    said = run("submit", dataset["name"]).output
    assert ("0 queued" in said, "1 left as they are" in said) == (True, True)
    assert run("submit", dataset["name"], "--force").output.strip() == "1 queued"
    assert row(resource["id"])["generation"] == 2


def test_submit_of_nobody_knows_what_fails_with_a_plain_message(site: None, run: Call) -> None:
    answer = run("submit", "nobody")
    assert answer.exit_code == 1
    assert "There is no resource or dataset nobody" in answer.output


def test_status_tells_one_preview_as_json_and_all_as_counts(resource: dict[str, Any], run: Call) -> None:
    assert json.loads(run("status", resource["id"]).stdout)["state"] == "queued"
    assert "queued       1" in run("status").stdout


def test_status_tells_how_long_the_oldest_waits(resource: dict[str, Any], run: Call) -> None:
    ago(resource, 3600, "queued_at")
    assert re.search(r"The oldest has waited 1:0\d:\d\d", run("status").stdout)


def test_status_says_nothing_of_waiting_when_nobody_waits(site: None, run: Call) -> None:
    assert "waited" not in run("status").stdout


def test_resync_of_a_resource_without_a_preview_says_so(site: None, run: Call) -> None:
    answer = run("resync", "nobody")
    assert answer.exit_code == 1
    assert "There is no preview of a resource nobody" in answer.output


def test_a_sweep_says_in_words_what_it_did(resource: dict[str, Any], run: Call) -> None:
    swallow_bells()
    ago(resource, sweep.UNHEARD_S + 5, "rung_at")
    assert run("sweep").stdout.startswith("queued again: 1, taken back from dead workers: 0, ")


def test_resync_repairs_extras_and_search_index(resource: dict[str, Any], call: Call, run: Call) -> None:
    with engine().begin() as connection:
        table = model.resource_table
        connection.execute(table.update().where(table.c.id == resource["id"]).values(extras={}))
    assert run("resync").exit_code == 0
    (found,) = call("package_search", q=f"id:{resource['package_id']}")["results"]
    assert json.loads(found["resources"][0]["shape_info"])[-1]["state"] == "processing"


def test_purge_orphans_lists_first_and_drops_then(resource: dict[str, Any], run: Call, geo_url: str) -> None:
    job.run_preview(resource["id"], 1)
    with engine().begin() as connection:
        connection.execute(PREVIEW.delete())
    dry = run("purge-orphans", "--dry-run")
    kept = count_tables(geo_url)
    run("purge-orphans")
    assert resource["id"] in dry.stdout
    assert (kept, count_tables(geo_url)) == (1, 0)


def test_a_dry_run_of_purge_orphans_changes_nothing(
    resource: dict[str, Any], run: Call, row: Call, geo_url: str
) -> None:
    job.run_preview(resource["id"], 1)
    with engine().begin() as connection:
        table = model.resource_table
        connection.execute(table.update().where(table.c.id == resource["id"]).values(state="deleted"))
    before = row(resource["id"])
    answer = run("purge-orphans", "--dry-run")
    assert resource["id"] in answer.stdout.split()
    assert (row(resource["id"]), count_tables(geo_url)) == (before, 1)


def test_submit_of_all_knows_no_limit(
    dataset: dict[str, Any], call: Call, run: Call, switched_off: Any
) -> None:
    """Beside one dataset with geodata there are 1,000 without, half of them before it and half of them after."""
    with switched_off():
        call("resource_create", package_id=dataset["id"], **GEOJSON)
    ids = [f"{first}-{number}" for first in "0z" for number in range(500)]
    with engine().begin() as connection:
        found = {"title": "", "state": "active", "private": False, "type": "dataset"}
        connection.execute(model.package_table.insert(), [{"id": id_, "name": id_} | found for id_ in ids])
    assert run("submit", "--all").stdout.strip() == "1 queued"


def test_init_db_may_be_run_again(site: None, run: Call) -> None:
    admin = os.environ["HDXJOBS_TEST_PG_URL"]
    url = admin.rpartition("/")[0] + "/" + config.geo_settings().loader_url.rpartition("/")[2]
    assert run("init-db", env={"HDXJOBS_ADMIN_URL": url}).exit_code == 0


def test_without_the_map_database_a_command_says_which_setting_to_look_at(
    site: None, run: Call, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.postgis.url", "postgresql://nobody@127.0.0.1:9/geo")
    answer = run("sweep")
    assert answer.exit_code == 1
    assert "Connection refused (setting ckanext.hdxjobs.postgis.url)" in answer.output


def test_init_db_without_an_administrator_says_how_to_name_one(
    site: None, run: Call, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.postgis.url", "postgresql://nobody@127.0.0.1:9/geo")
    answer = run("init-db")
    assert answer.exit_code == 1
    assert "--admin-url" in answer.output


def test_before_the_migration_a_command_says_what_to_run(site: None, run: Call, migrate_db_for: Any) -> None:
    model.Session.remove()
    migrate_db_for("hdxjobs", "base", False)
    try:
        answer = run("sweep")
        assert answer.exit_code == 1
        assert "ckan db upgrade -p hdxjobs" in answer.output
    finally:
        model.Session.remove()
        migrate_db_for("hdxjobs")


def test_a_looping_sweep_rings_and_ends_cleanly_on_sigterm(
    resource: dict[str, Any], jobs: Callable[[], Any]
) -> None:
    swallow_bells()
    ago(resource, sweep.UNHEARD_S + 5, "rung_at")
    ckan = str(Path(sys.executable).parent / "ckan")
    with subprocess.Popen(
        [ckan, "-c", os.environ["HDXJOBS_TEST_INI"], "hdxjobs", "sweep", "--every", "1"]
    ) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not jobs() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=DEADLINE_S) == 0
    assert jobs() == [(resource["id"], 1)]
