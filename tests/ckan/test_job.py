"""The worker's side, run in this process: from a saved file to tiles, and what a bad file leaves."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import broken
import makers
import psycopg2
import pytest
import rq
from ckan import model
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.errors import NOTICES, FetchError
from ckanext.hdxjobs.geopreview import attempt, detect, fetch, job, lock, mirror, record
from ckanext.hdxjobs.geopreview.remedies import DELAYS_S
from ckanext.hdxjobs.geopreview.values import Progress

Call = Callable[..., Any]

TOWNS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": "Goma", "people": 670000},
            "geometry": {"type": "Point", "coordinates": [29.2, -1.7]},
        },
        {
            "type": "Feature",
            "properties": {"name": "Bukavu", "people": 870000},
            "geometry": {"type": "Point", "coordinates": [28.8, -2.5]},
        },
    ],
}


def upload(content: bytes | dict[str, Any] = b"", name: str = "towns.geojson") -> FileStorage:
    text = json.dumps(content).encode() if isinstance(content, dict) else content
    return FileStorage(io.BytesIO(text), filename=name)


@pytest.fixture
def towns(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """A resource whose preview is ready."""
    resource: dict[str, Any] = call(
        "resource_create", package_id=dataset["id"], name="Towns", upload=upload(TOWNS)
    )
    job.run_preview(resource["id"], 1)
    return resource


@pytest.fixture
def unbound() -> Iterator[None]:
    """A job that RQ runs binds the life of its process to its parent's: not for the tests that follow."""
    yield
    ctypes.CDLL(None).prctl(1, 0)


def tables(geo_url: str) -> list[str]:
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'hdxjobs'::regnamespace AND relname LIKE 'l\\_%'"
        )
        names = [name for (name,) in cursor.fetchall() if name.count("_") == 2]
    connection.close()
    return names


def end_sessions(geo_admin_url: str) -> None:
    """As a restart of the map database does."""
    connection = psycopg2.connect(geo_admin_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'hdxjobs' AND pid <> pg_backend_pid()"
        )
    connection.close()


def test_an_upload_becomes_ready_with_layers_fields_and_a_history(towns: dict[str, Any], call: Call) -> None:
    status = call("hdx_geopreview_status", id=towns["id"])
    assert status["state"] == "ready"
    (layer,) = status["layers"]
    assert layer["feature_count"] == 2
    assert layer["bbox"] == pytest.approx([28.8, -2.5, 29.2, -1.7])
    assert {field["name"]: field["type"] for field in layer["fields"]} == {
        "name": "string",
        "people": "integer",
    }
    assert [entry["state"] for entry in status["shape_info"]] == ["processing", "success"]


def test_the_answer_has_exactly_the_documented_fields(towns: dict[str, Any], call: Call) -> None:
    status = call("hdx_geopreview_status", id=towns["id"])
    assert set(status) == {
        "resource_id", "state", "phase", "progress", "progress_detail", "generation", "message", "error", "warnings",
        "queued_at", "started_at", "finished_at", "shape_info", "layers",
    }  # fmt: skip
    assert set(status["layers"][0]) == {
        "layer_id", "name", "geometry_type", "feature_count", "bbox", "fields", "source_crs", "minzoom", "maxzoom",
        "tiles", "tilejson",
    }  # fmt: skip


def test_a_preview_changes_neither_the_dataset_date_nor_its_history(
    dataset: dict[str, Any], call: Call, new_jobs: Callable[[], int]
) -> None:
    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    before = call("package_show", id=dataset["id"])["metadata_modified"]
    new_jobs()
    job.run_preview(resource["id"], 1)
    assert call("package_show", id=dataset["id"])["metadata_modified"] == before
    assert new_jobs() == 0


def test_shape_info_is_told_by_resource_show_package_show_and_the_search_index(
    towns: dict[str, Any], call: Call
) -> None:
    of_resource = call("resource_show", id=towns["id"])["shape_info"]
    of_package = call("package_show", id=towns["package_id"])["resources"][0]["shape_info"]
    (found,) = call("package_search", q=f"id:{towns['package_id']}")["results"]
    assert json.loads(of_resource)[-1]["state"] == "success"
    assert of_resource == of_package == found["resources"][0]["shape_info"]


def test_an_original_client_finds_box_and_fields_in_shape_info(towns: dict[str, Any], call: Call) -> None:
    newest = json.loads(call("resource_show", id=towns["id"])["shape_info"])[-1]
    assert newest["bounding_box"].startswith("BOX(28.8")
    assert {"field_name": "people", "data_type": "integer"} in newest["layer_fields"]
    assert (newest["message"], newest["error_type"], newest["error_class"]) == (
        "Import successful",
        "None",
        "None",
    )


def _form(resource: dict[str, Any], call: Call) -> None:
    call(
        "resource_update",
        id=resource["id"],
        url=resource["url"],
        url_type="upload",
        name="By form",
        format="GeoJSON",
    )


def _patch(resource: dict[str, Any], call: Call) -> None:
    call("resource_patch", id=resource["id"], description="By API")


def _package_without_extras(resource: dict[str, Any], call: Call) -> None:
    package = call("package_show", id=resource["package_id"])
    for found in package["resources"]:
        del found["shape_info"]
    call("package_update", **dict(package, notes="Without extras"))


def _stale_copy(resource: dict[str, Any], call: Call) -> None:
    package = call("package_show", id=resource["package_id"])
    package["resources"][0] |= {"shape_info": '[{"state": "stale"}]', "description": "Stale"}
    call("package_update", **package)


@pytest.mark.parametrize("edit", [_form, _patch, _package_without_extras, _stale_copy])
def test_shape_info_survives_each_kind_of_edit(
    towns: dict[str, Any],
    call: Call,
    edit: Callable[[dict[str, Any], Call], None],
    new_jobs: Callable[[], int],
) -> None:
    before = call("resource_show", id=towns["id"])["shape_info"]
    new_jobs()
    edit(call("resource_show", id=towns["id"]), call)
    (found,) = call("package_search", q=f"id:{towns['package_id']}")["results"]
    assert call("resource_show", id=towns["id"])["shape_info"] == before
    assert found["resources"][0]["shape_info"] == before
    assert new_jobs() == 0


def test_the_map_view_is_made_once_and_kept_on_a_new_file(towns: dict[str, Any], call: Call) -> None:
    before = call("resource_view_list", id=towns["id"])
    call("resource_patch", id=towns["id"], upload=upload(TOWNS))
    job.run_preview(towns["id"], 2)
    assert call("resource_view_list", id=towns["id"]) == before
    assert [view["view_type"] for view in before] == [mirror.VIEW_TYPE]


def test_a_map_view_that_a_publisher_removed_stays_away_for_the_same_file(
    towns: dict[str, Any], call: Call
) -> None:
    (view,) = call("resource_view_list", id=towns["id"])
    call("resource_view_delete", id=view["id"])
    job.run_preview(towns["id"], 1)
    assert call("resource_view_list", id=towns["id"]) == []


BAD_FILES = {
    "not-geodata": (b"this is no map", "map.geojson", "unsupported"),
    "unreadable": (json.dumps(TOWNS).encode()[:150], "cut.geojson", "failed"),
    "no-features": (b'{"type": "FeatureCollection", "features": []}', "none.geojson", "failed"),
}


@pytest.mark.parametrize(("code", "case"), BAD_FILES.items())
def test_a_bad_file_is_saved_and_told_with_advice_and_leaves_nothing(
    dataset: dict[str, Any], call: Call, geo_url: str, code: str, case: tuple[bytes, str, str]
) -> None:
    content, name, state = case
    resource = call(
        "resource_create", package_id=dataset["id"], format="GeoJSON", upload=upload(content, name)
    )
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["error"]["code"]) == (state, code)
    assert status["message"]
    assert status["error"]["advice"]
    assert status["layers"] == []
    assert tables(geo_url) == []


def test_a_new_file_that_is_no_geodata_takes_the_old_map_away(
    towns: dict[str, Any], call: Call, geo_url: str
) -> None:
    call("resource_patch", id=towns["id"], upload=upload(b"%PDF-1.4"))
    job.run_preview(towns["id"], 2)
    assert call("hdx_geopreview_status", id=towns["id"])["layers"] == []
    assert tables(geo_url) == []


def test_a_damaged_new_file_leaves_the_old_map_in_place(towns: dict[str, Any], call: Call) -> None:
    call("resource_patch", id=towns["id"], upload=upload(json.dumps(TOWNS).encode()[:150]))
    job.run_preview(towns["id"], 2)
    status = call("hdx_geopreview_status", id=towns["id"])
    assert status["state"] == "failed"
    assert [layer["feature_count"] for layer in status["layers"]] == [2]


def test_a_job_without_a_waiting_row_does_nothing(dataset: dict[str, Any], geo_url: str) -> None:
    job.run_preview("no-such-resource", 1)
    assert tables(geo_url) == []


@pytest.mark.parametrize(("pid", "state"), [(1, "queued"), (os.getppid(), "ready"), (None, "ready")])
def test_the_orphan_of_a_worker_that_died_at_once_leaves_its_job_to_another(
    dataset: dict[str, Any],
    call: Call,
    row: Callable[[str], dict[str, Any]],
    unbound: None,
    pid: int | None,
    state: str,
) -> None:
    """It was born before it could bind its life to its worker's; a Redis that came back empty knows no worker."""
    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    orphan = rq.job.Job.create(job.run_preview, args=[resource["id"], 1], connection=queues.connection())
    orphan.worker_name = "a-worker"
    if pid is not None:
        queues.connection().hset("rq:worker:a-worker", "pid", pid)
    orphan.perform()
    assert row(resource["id"])["state"] == state


def test_an_older_generation_does_nothing(towns: dict[str, Any], call: Call) -> None:
    call("hdx_geopreview_submit", id=towns["id"], force=True)
    job.run_preview(towns["id"], 1)
    assert call("hdx_geopreview_status", id=towns["id"])["state"] == "queued"


def test_a_link_that_nobody_answers_is_tried_again_later(
    dataset: dict[str, Any],
    call: Call,
    row: Callable[[str], dict[str, Any]],
    ckan_config: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.link_hosts_allowed", ["127.0.0.1:9"])
    resource = call(
        "resource_create", package_id=dataset["id"], url="http://127.0.0.1:9/a.geojson", format="GeoJSON"
    )
    job.run_preview(resource["id"], 1)
    found = row(resource["id"])
    assert (found["state"], found["error_code"]) == ("retrying", "link-unreachable")
    # And a while in which the worker was slow.
    assert DELAYS_S[0] <= (found["next_at"] - found["started_at"]).total_seconds() < DELAYS_S[1]


def test_a_server_that_asks_for_time_is_left_alone_for_as_long(
    dataset: dict[str, Any], call: Call, row: Callable[[str], dict[str, Any]]
) -> None:
    resource = call("resource_create", package_id=dataset["id"], url="https://a.example/x", format="KML")
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    attempt.fail(claim, FetchError("link-unreachable", reason="HTTP 503", retry_after_s=900))
    found = row(resource["id"])
    assert found["state"] == "retrying"
    assert found["next_at"] >= found["started_at"] + timedelta(seconds=900)


def test_the_map_database_away_is_tried_again_and_the_message_says_so(
    dataset: dict[str, Any], call: Call, ckan_config: Any, monkeypatch: Any
) -> None:
    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.postgis.url", "postgresql://nobody@127.0.0.1:9/geo")
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["error"]["code"]) == ("retrying", "database-unavailable")


def test_a_full_disk_is_tried_again_and_the_message_says_so(
    dataset: dict[str, Any], call: Call, monkeypatch: Any
) -> None:
    def no_room(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("towns.geojson", json.dumps(TOWNS))
    resource = call(
        "resource_create", package_id=dataset["id"], upload=upload(archive.getvalue(), "towns.zip")
    )
    monkeypatch.setattr(zipfile.ZipFile, "open", no_room)
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["error"]["code"], status["error"]["kind"]) == (
        "retrying",
        "disk-full",
        "transient",
    )


def test_a_deletion_while_the_job_runs_wins(towns: dict[str, Any], call: Call, geo_url: str) -> None:
    """The job of generation 2 has claimed its row; then the resource goes."""
    from ckanext.hdxjobs.geopreview import attempt, sweep

    call("hdx_geopreview_submit", id=towns["id"], force=True)
    claim = attempt.claim(towns["id"], 2)
    assert claim is not None
    call("resource_delete", id=towns["id"])
    assert attempt.beat(claim, phase="load", progress=Progress(1, 2, "features")) is False
    assert attempt.again(claim, above=2) is False
    assert not record.is_served(towns["id"])
    sweep.run()
    assert tables(geo_url) == []


def test_a_generation_that_the_map_database_has_used_up_gets_a_fresh_number(
    dataset: dict[str, Any], call: Call, row: Callable[[str], dict[str, Any]], geo_url: str
) -> None:
    """CKAN's database was restored from an older backup than the map database."""
    from ckanext.hdxjobs.geopreview import publish

    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    publish.retire(resource_id=resource["id"], generation=7, dsn=geo_url)
    job.run_preview(resource["id"], 1)
    assert (row(resource["id"])["state"], row(resource["id"])["generation"]) == ("queued", 8)
    job.run_preview(resource["id"], 8)
    model.Session.remove()
    assert call("hdx_geopreview_status", id=resource["id"])["state"] == "ready"


def test_never_two_imports_of_one_resource_at_once(
    dataset: dict[str, Any], call: Call, geo_url: str, row: Callable[[str], dict[str, Any]], monkeypatch: Any
) -> None:
    """Another process, overtaken or frozen, still holds the resource: this job steps back for a while."""
    monkeypatch.setattr(lock, "WAIT_S", 0)
    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    with lock.alone(resource["id"], geo_url):
        job.run_preview(resource["id"], 1)
        found = row(resource["id"])
        assert (found["state"], found["error_code"]) == ("retrying", "interrupted")
        assert tables(geo_url) == []


def test_an_import_that_lost_its_lock_begins_no_other_step(
    dataset: dict[str, Any],
    call: Call,
    geo_admin_url: str,
    row: Callable[[str], dict[str, Any]],
    monkeypatch: Any,
) -> None:
    """The map database was restarted meanwhile: another import of the resource may have begun."""
    fetched = fetch.fetch

    def robbed(*words: Any, **options: Any) -> Any:
        download = fetched(*words, **options)
        end_sessions(geo_admin_url)
        return download

    monkeypatch.setattr(fetch, "fetch", robbed)
    monkeypatch.setattr(detect, "detect", lambda *_, **__: pytest.fail("it went on without a lock"))
    resource = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    job.run_preview(resource["id"], 1)
    found = row(resource["id"])
    assert (found["state"], found["error_code"]) == ("retrying", "database-unavailable")


def test_the_work_folder_is_gone_whatever_happened(
    dataset: dict[str, Any], call: Call, ckan_config: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.work_folder", str(tmp_path))
    for content in (json.dumps(TOWNS).encode(), b"%PDF-1.4", json.dumps(TOWNS).encode()[:150]):
        resource = call("resource_create", package_id=dataset["id"], upload=upload(content))
        job.run_preview(resource["id"], 1)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_breaks_amid_the_features_is_no_harm(
    dataset: dict[str, Any], call: Call, geo_url: str, monkeypatch: Any, tmp_path: Any
) -> None:
    """The other reader begins anew; what the first one had loaded is gone."""
    tried = broken.install(tmp_path, monkeypatch, "a segmentation fault", drivers=(), amid=("LIBKML",))
    content = makers.kml(("Towns", makers.town_placemarks()), ("More", makers.town_placemarks()))
    resource = call("resource_create", package_id=dataset["id"], upload=upload(content, "towns.kml"))
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert [layer["feature_count"] for layer in status["layers"]] == [3, 3]
    assert len(tables(geo_url)) == 2
    assert tried.read_text().split() == ["parser", "parser"]


def test_a_layer_that_breaks_both_readers_is_left_out_of_its_file(
    dataset: dict[str, Any], call: Call, geo_url: str, monkeypatch: Any, tmp_path: Any
) -> None:
    broken.install(tmp_path, monkeypatch, "an abort", drivers=(), amid=("LIBKML", "KML"))
    content = makers.zipped(
        {"bad.kml": makers.kml(("Bad", makers.town_placemarks())), "good.geojson": json.dumps(TOWNS).encode()}
    )
    resource = call("resource_create", package_id=dataset["id"], upload=upload(content, "both.zip"))
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert [layer["name"] for layer in status["layers"]] == ["good"]
    (warning,) = status["warnings"]
    assert warning == NOTICES["layer-damaged"].message.format(layer="Bad")
    assert len(tables(geo_url)) == 1


def test_a_file_that_breaks_both_readers_fails_and_the_next_job_runs(
    dataset: dict[str, Any], call: Call, geo_url: str, ckan_config: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    work_folder = tmp_path / "work"
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.work_folder", str(work_folder))
    tried = broken.install(tmp_path, monkeypatch, "an abort", drivers=(), amid=("LIBKML", "KML"))
    content = makers.kml(("Towns", makers.town_placemarks()))
    resource = call("resource_create", package_id=dataset["id"], upload=upload(content, "towns.kml"))
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["error"]["code"]) == ("failed", "reader-crashed")
    assert tried.read_text().split() == ["parser", "parser"]
    assert (tables(geo_url), list(work_folder.iterdir())) == ([], [])

    other = call("resource_create", package_id=dataset["id"], upload=upload(TOWNS))
    job.run_preview(other["id"], 1)
    assert call("hdx_geopreview_status", id=other["id"])["state"] == "ready"


@pytest.mark.parametrize(
    ("step", "amount"),
    [
        ("fetch", " bytes"),
        ("detect", " bytes"),
        ("load", ", 2 features"),
        ("publish", ", 2 features"),
        ("mirror", ""),
        ("prepare", ", 2 features, 0 tiles, 0 pieces, 0 lists"),
    ],
)
def test_each_finished_step_has_one_line_in_the_log(told: list[str], step: str, amount: str) -> None:
    (line,) = [message for message in told if f": {step} took " in message]
    assert re.fullmatch(rf"Preview of \S+, generation 1: {step} took [\d.]+ s.*{amount}", line)


@pytest.fixture(scope="module")
def _told() -> list[str]:
    """What the log of one import says; the tests of its lines share it."""
    return []


@pytest.fixture
def told(
    _told: list[str], with_plugins: Any, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> list[str]:
    if not _told:
        with caplog.at_level("INFO"):
            resource = request.getfixturevalue("towns")
        _told += [
            message for message in caplog.messages if message.startswith(f"Preview of {resource['id']}")
        ]
    return _told
