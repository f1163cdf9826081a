"""The words about a preview: patience, the old clients' history, the answer of the status action."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ckanext.hdxjobs.errors import FAILURES
from ckanext.hdxjobs.geopreview import answer, legacy, remedies
from ckanext.hdxjobs.geopreview.values import Field, State, TileSet
from ckanext.hdxjobs.messages import ENGLISH, Language

ORIGINAL_FIELDS = {"state", "message", "layer_id", "error_type", "error_class"}

TILE_SET = TileSet(
    layer_id="a" * 20,
    resource_id="r",
    generation=3,
    name="Towns",
    geometry_type="Point",
    feature_count=2,
    bbox_lonlat=(28.8, -2.5, 29.2, -1.7),
    fields=(Field("Name", "string", "c1", "Name"), Field("People", "integer", "c2", "People")),
    source_crs="EPSG:32735",
    minzoom=0,
    maxzoom=14,
)


def row(**values: Any) -> dict[str, Any]:
    """A row of the ledger."""
    moment = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
    plain = dict.fromkeys(("phase", "error_code", "error_class", "error_params", "finished_at"))
    plain |= dict.fromkeys(("progress", "progress_done", "progress_total", "progress_unit"))
    told = {"resource_id": "r", "state": "ready", "generation": 3, "queued_at": moment, "started_at": moment}
    return plain | told | {"notices": [], "layers": answer.layers([TILE_SET]), "shape_info": []} | values


def tell(**values: Any) -> dict[str, Any]:
    return answer.from_row(
        row(**values),
        language=ENGLISH,
        tilejson_url=lambda layer_id: f"https://x.org/hdxjobs/tiles/{layer_id}.json",
    )


@pytest.mark.parametrize(
    ("attempt", "delay_s"), [(1, 30), (2, 120), (3, 600), (4, 1800), (5, 3600), (6, 3600), (20, 3600)]
)
def test_each_attempt_waits_longer_up_to_an_hour(attempt: int, delay_s: int) -> None:
    assert remedies.delay_s(attempt=attempt, waited_s=0) == delay_s


@pytest.mark.parametrize(("asked_s", "delay_s"), [(None, 120), (5, 120), (900, 900), (10**9, 3600)])
def test_a_server_that_asks_for_time_gets_it_up_to_an_hour(asked_s: int | None, delay_s: int) -> None:
    assert remedies.delay_s(attempt=2, waited_s=0, asked_s=asked_s) == delay_s


def test_nobody_waits_longer_than_a_day() -> None:
    assert remedies.delay_s(attempt=9, waited_s=remedies.PATIENCE_S - 3599) is None


def test_retries_go_on_for_nearly_a_day() -> None:
    waited_s, attempt = 0, 0
    while (delay_s := remedies.delay_s(attempt=(attempt := attempt + 1), waited_s=waited_s)) is not None:
        waited_s += delay_s
    assert 23 * 3600 < waited_s <= 24 * 3600


@pytest.mark.parametrize(
    "entry",
    [
        legacy.processing(),
        legacy.success([TILE_SET], dropped=0),
        legacy.failure(message="m", error_type="timeout", error_class="FetchError"),
    ],
)
def test_each_entry_of_the_history_has_the_fields_that_old_clients_read(entry: dict[str, Any]) -> None:
    assert entry.keys() >= ORIGINAL_FIELDS


def test_features_left_out_are_counted_in_the_success_message() -> None:
    assert "4 features" in legacy.success([TILE_SET], dropped=4)["message"]


def test_tile_urls_carry_the_generation_that_is_live() -> None:
    (layer,) = tell(generation=4, state="queued")["layers"]
    assert layer["tiles"] == f"https://x.org/hdxjobs/tiles/{'a' * 20}/3/{{z}}/{{x}}/{{y}}.mvt"


def test_progress_is_told_in_numbers() -> None:
    told = tell(
        state="running",
        phase="load",
        progress=0.35,
        progress_done=350_000,
        progress_total=1_000_000,
        progress_unit="features",
    )
    assert told["progress"] == 0.35
    assert told["progress_detail"] == {"done": 350_000, "total": 1_000_000, "unit": "features"}


@pytest.mark.parametrize(
    ("done", "total", "unit", "words"),
    [
        (12_900_000, 164_626_432, "bytes", "Downloading: 12.3 of 157 MB"),
        (0, 3_000, "bytes", "Downloading: 0 of 2.9 kB"),
        (512, 512, "bytes", "Downloading: 512 of 512 bytes"),
        (5_368_709_120, None, "bytes", "Downloading: 5 GB so far"),
        (0, None, "bytes", "Downloading: 0 bytes so far"),
        (350_000, 1_000_000, "features", "Loading: 350,000 of 1,000,000 features"),
        (350_000, None, "features", "Loading: 350,000 features so far"),
    ],
)
def test_progress_is_told_in_words(done: int, total: int | None, unit: str, words: str) -> None:
    assert answer.measure({"done": done, "total": total, "unit": unit}, ENGLISH) == words


def test_progress_is_told_in_numbers_as_the_reader_writes_them() -> None:
    german = Language(str, lambda number: f"{number:,}".translate(str.maketrans(",.", ".,")))
    detail = {"done": 12_900_000, "total": 164_626_432, "unit": "bytes"}
    assert answer.measure(detail, german) == "Downloading: 12,3 of 157 MB"


def test_nothing_is_said_of_progress_that_nobody_knows() -> None:
    assert answer.measure(None, ENGLISH) == ""


def test_a_worker_of_an_older_release_tells_its_share_only() -> None:
    told = tell(state="running", phase="load", progress=0.35)
    assert (told["progress"], told["progress_detail"]) == (0.35, None)


def test_moments_are_told_in_utc() -> None:
    assert tell()["queued_at"] == "2026-11-23T12:00:00.000+00:00"


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.READY, State.DELETED])
def test_each_state_without_an_error_has_a_message(state: State) -> None:
    assert tell(state=state.value)["message"]


@pytest.mark.parametrize("code", sorted(FAILURES))
def test_each_error_is_told_with_advice_even_when_its_details_are_lost(code: str) -> None:
    told = tell(state="failed", error_code=code, error_class="LoadError", error_params={})
    assert told["message"]
    assert told["error"]["advice"]


def test_an_error_that_an_older_release_wrote_shows_no_braces() -> None:
    told = tell(
        state="failed", error_code="file-too-big", error_class="FetchError", error_params={"limit": "3 MB"}
    )
    assert "3 MB" in told["message"]
    assert "{" not in told["message"]


@pytest.mark.parametrize(("code", "kind"), [("link-cut-off", "transient"), ("file-too-big", "permanent")])
def test_an_error_says_whether_it_may_pass(code: str, kind: str) -> None:
    told = tell(state="failed", error_code=code, error_class="FetchError", error_params={})
    assert told["error"]["kind"] == kind
    assert told["error"]["class"] == "FetchError"


def test_a_warning_names_layer_count_and_example() -> None:
    notice = {"code": "no-geometry", "layer": "Towns", "count": 2, "example": "row 7"}
    (warning,) = tell(notices=[notice])["warnings"]
    assert "Towns" in warning
    assert ": 2 " in warning
    assert "row 7" in warning


def test_a_warning_about_a_cap_names_both_numbers() -> None:
    notice = {"code": "too-many-columns", "layer": "Towns", "count": 2000, "example": "rank", "limit": 1500}
    (warning,) = tell(notices=[notice])["warnings"]
    assert "2,000" in warning
    assert "1,500" in warning


def test_a_warning_of_an_older_release_shows_no_braces() -> None:
    notice = {"code": "columns-dropped", "layer": "Towns", "count": 2}
    (warning,) = tell(notices=[notice])["warnings"]
    assert "{" not in warning


def test_an_error_that_only_a_newer_release_knows_is_told_as_unexpected() -> None:
    told = tell(state="failed", error_code="of-tomorrow", error_class="LoadError", layers=[])
    assert told["message"] == FAILURES["internal"].message
    assert (told["error"]["code"], told["error"]["retryable"]) == ("of-tomorrow", False)


def test_notices_steps_and_measures_that_only_a_newer_release_knows_are_left_out() -> None:
    running = {"progress_done": 1, "progress_total": 2, "progress_unit": "parsecs"}
    told = tell(state="running", phase="of-tomorrow", notices=[{"code": "of-tomorrow"}], **running)
    assert (told["message"], told["warnings"]) == ("The map preview is being made.", [])
    assert answer.measure(told["progress_detail"], ENGLISH) == ""
