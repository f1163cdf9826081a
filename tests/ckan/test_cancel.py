"""Operators stop what waits or runs, and ask again for what failed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model
from click.testing import CliRunner
from layer_paths import paths, tile_path
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import cli, progress
from ckanext.hdxjobs.errors import DetectError, LoadError
from ckanext.hdxjobs.geopreview import attempt, job, publish, sweep, tiles
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine
from ckanext.hdxjobs.geopreview.values import Outcome

Call = Callable[..., Any]

POINT = {"type": "Point", "coordinates": [29.2, -1.7]}


@pytest.fixture
def run() -> Callable[..., Any]:
    """``ckan hdxjobs ...`` in this process."""
    return lambda *words: CliRunner().invoke(cli.hdxjobs, words)


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    """A resource without a map; its preview is queued."""
    upload = FileStorage(io.BytesIO(json.dumps(POINT).encode()), filename="point.geojson")
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], upload=upload)
    return made


@pytest.fixture
def renewed(layer: dict[str, Any], call: Call) -> dict[str, Any]:
    """A layer that is served; the second generation of its resource is queued."""
    call("hdx_geopreview_submit", id=layer["resource_id"], force=True)
    model.Session.commit()
    return layer


def fail(resource_id: str, error: Any, generation: int = 1) -> None:
    claim = attempt.claim(resource_id, generation)
    assert claim is not None
    attempt.fail(claim, error)


# Cancel


def test_a_preview_that_waits_is_not_made(resource: dict[str, Any], run: Call, row: Call) -> None:
    assert run("cancel", resource["id"]).stdout.strip() == "1 cancelled"
    job.run_preview(resource["id"], 1)
    assert (row(resource["id"])["state"], row(resource["id"])["attempt"]) == ("deleted", 0)


def test_all_that_waits_of_a_dataset_is_cancelled(
    resource: dict[str, Any], dataset: dict[str, Any], run: Call
) -> None:
    assert run("cancel", dataset["name"]).stdout.strip() == "1 cancelled"


def test_a_retry_is_not_made(resource: dict[str, Any], run: Call, row: Call) -> None:
    fail(resource["id"], LoadError("database-unavailable"))
    run("cancel", resource["id"])
    assert row(resource["id"])["state"] == "deleted"


def test_a_cancelled_file_gets_a_preview_again_by_force_only(
    resource: dict[str, Any], call: Call, run: Call, row: Call
) -> None:
    run("cancel", resource["id"])
    call("resource_patch", id=resource["id"], description="the same file")
    kept = row(resource["id"])["state"]
    run("submit", resource["id"], "--force")
    assert (kept, row(resource["id"])["state"]) == ("deleted", "queued")


def test_nothing_is_cancelled_where_nothing_is_under_way(layer: dict[str, Any], run: Call, row: Call) -> None:
    assert run("cancel", layer["resource_id"]).stdout.strip() == "0 cancelled"
    assert row(layer["resource_id"])["state"] == "ready"


def test_the_map_of_before_stays_and_says_that_it_is_not_the_newest(
    renewed: dict[str, Any], call: Call, run: Call, row: Call, app: Any
) -> None:
    run("cancel", renewed["resource_id"])
    assert [notice["code"] for notice in row(renewed["resource_id"])["notices"]] == ["cancelled"]
    status = call("hdx_geopreview_status", id=renewed["resource_id"])
    assert (status["state"], [layer["tiles"] for layer in status["layers"]]) == ("ready", [renewed["tiles"]])
    assert "stopped the making of a newer map" in status["warnings"][0]
    assert app.get(tile_path(renewed)).status_code == 200
    assert app.get(paths(renewed)["panel"]).headers["X-Hdxjobs-State"] == "ready"


def test_old_clients_see_the_history_of_before(renewed: dict[str, Any], call: Call, run: Call) -> None:
    run("cancel", renewed["resource_id"])
    resource = call("resource_show", id=renewed["resource_id"])
    states = [entry["state"] for entry in json.loads(resource["shape_info"])]
    assert states == ["processing", "success"]


def test_the_worker_of_a_cancelled_preview_learns_of_it_and_leaves(
    renewed: dict[str, Any], run: Call, row: Call
) -> None:
    claim = attempt.claim(renewed["resource_id"], 2)
    assert claim is not None
    run("cancel", renewed["resource_id"])
    assert attempt.beat(claim, phase="load", progress=None) is False
    assert attempt.again(claim, above=2) is False
    assert attempt.fail(claim, LoadError("internal")) is None
    assert row(renewed["resource_id"])["state"] == "ready"


def test_a_preview_that_was_published_before_its_worker_learned_is_told(
    renewed: dict[str, Any], run: Call, row: Call, geo_url: str
) -> None:
    """The old layers' tables will be dropped: the row has to name the new ones."""
    reader = tiles.TileReader(geo_url, 5)
    published = reader.layer(renewed["layer_id"])
    reader.close()
    assert published is not None
    claim = attempt.claim(renewed["resource_id"], 2)
    assert claim is not None
    run("cancel", renewed["resource_id"])
    assert attempt.succeed(claim, Outcome((published,), ())) is True
    assert row(renewed["resource_id"])["notices"] == []


def test_a_first_preview_that_was_published_before_its_worker_learned_is_taken_away(
    resource: dict[str, Any], run: Call, geo_url: str
) -> None:
    claim = attempt.claim(resource["id"], 1)
    assert claim is not None
    run("cancel", resource["id"])
    assert attempt.succeed(claim, Outcome((), ())) is False
    sweep.run()
    assert publish.resource_ids(geo_url) == set()


def test_a_preview_that_was_published_by_a_worker_that_died_before_it_learned_is_told_by_the_sweep(
    renewed: dict[str, Any], run: Call, row: Call, monkeypatch: Any
) -> None:
    """The worker is killed between the flip and its word to CKAN's database."""
    before = row(renewed["resource_id"])["layers"]
    run("cancel", renewed["resource_id"])
    cancelled = row(renewed["resource_id"])
    run("submit", renewed["resource_id"], "--force")
    job.run_preview(renewed["resource_id"], 3)
    with engine().begin() as connection:
        connection.execute(
            PREVIEW.update()
            .where(PREVIEW.c.resource_id == renewed["resource_id"])
            .values(cancelled | {"generation": 3})
        )
    monkeypatch.setattr(sweep, "UNTOLD_S", 0)
    sweep.run()
    after = row(renewed["resource_id"])
    assert [layer["generation"] for layer in (*before, *after["layers"])] == [1, 3]
    assert (after["state"], after["notices"]) == ("ready", [])


# Again


def test_failed_previews_are_asked_for_again(resource: dict[str, Any], run: Call, row: Call) -> None:
    fail(resource["id"], LoadError("internal"))
    assert run("submit", "--failed").stdout.strip() == "1 queued"
    assert (row(resource["id"])["state"], row(resource["id"])["generation"]) == ("queued", 2)


def test_unsupported_files_are_not_failed_ones(resource: dict[str, Any], run: Call) -> None:
    fail(resource["id"], DetectError("not-geodata"))
    assert run("submit", "--failed").stdout.strip() == "0 queued"


def test_previews_with_one_error_are_asked_for_again(
    resource: dict[str, Any], dataset: dict[str, Any], call: Call, run: Call, row: Call
) -> None:
    other = call("resource_create", package_id=dataset["id"], url="https://example.org/a.kml", format="KML")
    fail(resource["id"], DetectError("not-geodata"))
    fail(other["id"], LoadError("internal"))
    assert run("submit", "--code", "not-geodata").stdout.strip() == "1 queued"
    assert (row(resource["id"])["state"], row(other["id"])["state"]) == ("queued", "failed")


def test_an_error_that_does_not_exist_is_refused(site: None, run: Call) -> None:
    answer = run("submit", "--code", "no-such")
    assert answer.exit_code == 2
    assert "There is no error no-such" in answer.output


@pytest.mark.parametrize("words", [[], ["--all", "--failed"], ["name", "--failed"]])
def test_submit_takes_one_kind_of_wish(site: None, run: Call, words: list[str]) -> None:
    assert run("submit", *words).exit_code == 2


def test_a_long_command_tells_on_stderr_how_far_it_is(
    resource: dict[str, Any], monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    cli.hdxjobs.main(["resync"], standalone_mode=False)
    told = capsys.readouterr()
    assert (told.out.strip(), told.err.strip()) == ("1 looked at", "0 of 1 done")
