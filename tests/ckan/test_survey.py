"""What the people who run a site are told about it: queues, workers, previews, the sweep."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import rq
import sqlalchemy as sa
from ckan import model
from ckan.lib.jobs import add_queue_name_prefix
from click.testing import CliRunner

from ckanext.hdxjobs import cli, config, queues, workers
from ckanext.hdxjobs.errors import LoadError
from ckanext.hdxjobs.geopreview import attempt, probes, survey, sweep, tether
from ckanext.hdxjobs.geopreview.job import run_preview
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine
from ckanext.hdxjobs.geopreview.probes import Finding

Call = Callable[..., Any]
Found = Callable[[], dict[str, Finding]]
GEOJSON = {"url": "https://example.org/places.geojson", "format": "GeoJSON"}


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """Its preview is queued."""
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], **GEOJSON)
    return made


@pytest.fixture
def worker(site: None) -> Iterator[rq.Worker]:
    """A worker of both queues, that does nothing."""
    names = [add_queue_name_prefix(name) for name in (queues.GEO, queues.ANALYTICS)]
    made = rq.Worker(names, connection=redis.Redis.from_url(config.redis_url()))
    made.register_birth()
    yield made
    made.register_death()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """What is told of the parts, but of the map database and its readers, which are processes to be started."""
    monkeypatch.delitem(survey.PROBES, "map database")
    return lambda: {finding.part: finding for finding in survey.run()}


def past(seconds: int, *columns: str) -> None:
    """As if some moments of all rows were longer past."""
    moment = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    with engine().begin() as connection:
        connection.execute(PREVIEW.update().values(dict.fromkeys(columns, moment)))


def test_a_site_in_order_has_no_fault(worker: rq.Worker) -> None:
    sweep.run()
    assert [finding for finding in survey.run() if not finding.ok] == []


def test_a_queue_tells_its_length_and_its_workers(
    resource: dict[str, Any], worker: rq.Worker, found: Found
) -> None:
    assert re.match(r"1 job waits, 1 worker, seen 0:0\d:\d\d", found()["geo_q"].detail)


@pytest.mark.parametrize("queue", ["geo_q", "analytics_q"])
def test_a_queue_without_a_worker_is_a_fault_that_says_what_to_run(
    site: None, queue: str, found: Found
) -> None:
    finding = found()[queue]
    assert not finding.ok
    assert f"ckan jobs worker {queue}" in finding.detail


def test_a_worker_that_an_emptied_redis_forgot_is_seen_again_from_its_next_job_on(
    worker: rq.Worker, monkeypatch: Any
) -> None:
    with redis.Redis.from_url(config.redis_url()) as client:
        client.flushdb()
    forgotten = workers.look(queues.GEO).workers
    job = SimpleNamespace(worker_name=worker.name, origin=add_queue_name_prefix(queues.GEO))
    monkeypatch.setattr(rq, "get_current_job", lambda: job)
    monkeypatch.setattr(tether, "die_with_worker", lambda: True)
    run_preview("nobody", 1)
    assert (forgotten, [seen.pid for seen in workers.look(queues.GEO).workers]) == ((), [os.getppid()])


def test_after_a_look_at_the_workers_a_frozen_redis_keeps_nobody_waiting(
    worker: rq.Worker,
) -> None:
    """RQ gives its own time-out, of minutes, to any connection that it finds workers with."""
    workers.look(queues.GEO)
    # A thread that asks meanwhile has a connection of the pool, so that the next one is made anew.
    with queues.connection().client(), queues.connection().client() as made_anew:
        assert made_anew.connection.socket_timeout == config.redis_timeout_s()


def test_a_queue_that_is_switched_off_needs_no_worker(site: None, ckan_config: Any, found: Found) -> None:
    ckan_config["ckanext.hdxjobs.geopreview.enabled"] = False
    assert found()["geo_q"].ok


def test_previews_that_wait_while_no_worker_does_anything_are_a_fault(
    resource: dict[str, Any], found: Found
) -> None:
    fresh = found()["previews waiting"]
    past(survey.STANDSTILL_S + 60, "queued_at")
    late = found()["previews waiting"]
    assert (fresh.ok, late.ok) == (True, False)
    assert re.search(r"1, the oldest for 0:1[1-5]:\d\d", late.detail)


def test_a_long_queue_that_workers_work_on_is_no_fault(
    resource: dict[str, Any], dataset: dict[str, Any], call: Call, found: Found
) -> None:
    past(survey.STANDSTILL_S + 60, "queued_at")
    other = call("resource_create", package_id=dataset["id"], **GEOJSON)
    attempt.claim(other["id"], 1)
    assert found()["previews waiting"].ok


def test_a_retry_waits_only_once_it_is_due(resource: dict[str, Any], found: Found) -> None:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, LoadError("database-unavailable"))
    early = found()["previews waiting"].detail
    past(5, "next_at")
    assert (early, found()["previews waiting"].detail[:1]) == ("0", "1")


def test_a_running_preview_whose_worker_fell_silent_is_a_fault(
    resource: dict[str, Any], found: Found
) -> None:
    attempt.claim(resource["id"], 1)
    lively = found()["previews running"]
    past(sweep.SILENT_S + 5, "heartbeat_at")
    assert (lively.ok, found()["previews running"].ok) == (True, False)


def test_a_site_that_is_not_swept_is_told(site: None, found: Found) -> None:
    queues.connection().delete(add_queue_name_prefix(f"hdxjobs:last:{sweep.SWEPT}"))
    never = found()["last sweep"]
    sweep.run()
    assert (never.ok, found()["last sweep"].ok) == (False, True)


def test_a_sweep_long_ago_is_a_fault(site: None, monkeypatch: Any, found: Found) -> None:
    sweep.run()
    monkeypatch.setattr(survey, "UNSWEPT_S", -1)
    assert not found()["last sweep"].ok


def test_tables_without_a_preview_are_a_fault(layer: dict[str, Any], found: Found) -> None:
    before = found()["orphans"]
    with engine().begin() as connection:
        connection.execute(PREVIEW.delete())
    after = found()["orphans"]
    assert (before.ok, after.ok) == (True, False)
    assert after.detail.startswith("1 resources")


def test_the_room_for_downloads_is_looked_at(
    site: None, ckan_config: Any, tmp_path: Any, found: Found
) -> None:
    ckan_config["ckanext.hdxjobs.geopreview.work_folder"] = str(tmp_path)
    ckan_config["ckanext.hdxjobs.geopreview.max_download_bytes"] = 10**18
    assert not found()["disk: work folder"].ok


def test_redis_tells_its_version(site: None, found: Found) -> None:
    assert found()["Redis"].detail.startswith("Redis ")


def test_a_password_that_redis_does_not_ask_for_protects_nobody(site: None) -> None:
    client = queues.connection()
    assert probes._asks_nobody(client)
    client.config_set("requirepass", "secret")
    try:
        assert not probes._asks_nobody(client)
    finally:
        client.config_set("requirepass", "")


def test_without_redis_its_parts_are_faults_and_the_others_are_told(
    worker: rq.Worker, ckan_config: Any, monkeypatch: Any, found: Found
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(ckan_config, "ckan.redis.url", "redis://127.0.0.1:9/0")
        faults = {part for part, finding in found().items() if not finding.ok}
    assert faults == {"Redis", "geo_q", "analytics_q", "last sweep"}


def test_before_the_migration_the_check_says_what_to_run(
    site: None, migrate_db_for: Any, found: Found
) -> None:
    model.Session.remove()
    migrate_db_for("hdxjobs", "base", False)
    try:
        assert "ckan db upgrade -p hdxjobs" in found()["previews waiting"].detail
    finally:
        model.Session.remove()
        migrate_db_for("hdxjobs")


def test_the_command_tells_faults_by_its_exit_code(site: None) -> None:
    answer = CliRunner().invoke(cli.hdxjobs, ["check", "--json"])
    told = {finding["part"]: finding for finding in json.loads(answer.stdout)}
    assert (answer.exit_code, told["geo_q"]["ok"], told["reader"]["ok"]) == (1, False, True)


def test_the_action_tells_sysadmins_the_same(people: dict[str, Any], app: Any) -> None:
    answer = app.get("/api/action/hdxjobs_check", headers=people["sysadmin"])
    parts = [finding["part"] for finding in answer.json["result"]["findings"]]
    assert answer.json["result"]["ok"] is False
    assert parts == [finding.part for finding in survey.run()]


@pytest.mark.parametrize("visitor", ["anonymous", "editor"])
def test_the_action_is_for_sysadmins_only(people: dict[str, Any], app: Any, visitor: str) -> None:
    assert app.get("/api/action/hdxjobs_check", headers=people[visitor]).status_code == 403
