"""What ``hdx_geopreview_status`` answers: a row of the ledger in words and plain JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from ckanext.hdxjobs.errors import FAILURES, N_, NOTICES
from ckanext.hdxjobs.geopreview.values import Phase, State, TileSet
from ckanext.hdxjobs.messages import Failure, Language

_STATE_TEXTS = {
    State.QUEUED: N_("The map preview is waiting for a free worker."),
    State.RUNNING: N_("The map preview is being made."),
    State.READY: N_("The map preview is ready."),
    State.DELETED: N_("The map preview was removed."),
}

_PHASE_TEXTS: dict[str, str] = {
    Phase.FETCH: N_("The file is being fetched."),
    Phase.DETECT: N_("The file is being examined."),
    Phase.LOAD: N_("The data is being loaded."),
    Phase.PUBLISH: N_("The map is being prepared."),
}

#: How far a step is: where the whole is known, and where it is not.
_MEASURES = {
    "bytes": (N_("Downloading: {done} of {total} {unit}"), N_("Downloading: {done} {unit} so far")),
    "features": (N_("Loading: {done} of {total} features"), N_("Loading: {done} features so far")),
}
_SIZES = ((N_("GB"), 1024**3), (N_("MB"), 1024**2), (N_("kB"), 1024), (N_("bytes"), 1))

_NO_PREVIEW = N_("No map preview has been asked for yet.")
_NOT_SHOWN = N_("Files of this format are not shown on a map.")


def from_row(
    row: Mapping[Any, Any], *, language: Language, tilejson_url: Callable[[str], str]
) -> dict[str, Any]:
    """The answer for a preview.

    :param row: a row of ``hdxjobs_preview``
    :param tilejson_url: layer id -> absolute URL of its TileJSON
    """
    return {
        "resource_id": row["resource_id"],
        "state": row["state"],
        "phase": row["phase"],
        "progress": row["progress"],
        "progress_detail": _progress_detail(row),
        "generation": row["generation"],
        "message": _message(row, language),
        "error": _error(row, language),
        "warnings": [
            language.say(NOTICES[notice["code"]].message, notice)
            for notice in row["notices"]
            if notice["code"] in NOTICES
        ],
        "queued_at": _utc(row["queued_at"]),
        "started_at": _utc(row["started_at"]),
        "finished_at": _utc(row["finished_at"]),
        "shape_info": row["shape_info"],
        "layers": [_layer(layer, tilejson_url) for layer in row["layers"]],
    }


def without_row(resource_id: str, *, candidate: bool, language: Language) -> dict[str, Any]:
    """The answer for a resource that never had a preview.

    Its state is "unsupported" when its format is none of ours, else null: nobody asked for it yet.
    """
    return {
        "resource_id": resource_id,
        "state": None if candidate else State.UNSUPPORTED.value,
        "phase": None,
        "progress": None,
        "progress_detail": None,
        "generation": 0,
        "message": language.translate(_NO_PREVIEW if candidate else _NOT_SHOWN),
        "error": None,
        "warnings": [],
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "shape_info": [],
        "layers": [],
    }


def measure(detail: Mapping[str, Any] | None, language: Language) -> str:
    """How far a step is, in words: "Downloading: 12.3 of 157 MB"; "" when nobody can tell.

    :param detail: ``progress_detail`` of an answer
    """
    if detail is None or detail["unit"] not in _MEASURES:
        return ""
    done, total, unit = detail["done"], detail["total"], ""
    if detail["unit"] == "bytes":
        unit, size = next(row for row in _SIZES if (total or done) >= row[1] or row[1] == 1)
        done, total = _rounded(done / size), _rounded((total or 0) / size)
    of_all, so_far = _MEASURES[detail["unit"]]
    text = of_all if detail["total"] else so_far
    return language.say(text, {"done": done, "total": total, "unit": language.translate(unit)})


def _rounded(number: float) -> float:
    """With as many digits as anybody wants to read."""
    return round(number) if number >= 100 or number == int(number) else round(number, 1)


def layers(tile_sets: Iterable[TileSet]) -> list[dict[str, Any]]:
    """The published layers as the row keeps them."""
    return [
        {
            "layer_id": tile_set.layer_id,
            "generation": tile_set.generation,
            "name": tile_set.name,
            "geometry_type": tile_set.geometry_type,
            "feature_count": tile_set.feature_count,
            "bbox": list(tile_set.bbox_lonlat) if tile_set.bbox_lonlat else None,
            "fields": [{"name": field.key, "type": field.type} for field in tile_set.fields],
            "source_crs": tile_set.source_crs,
            "minzoom": tile_set.minzoom,
            "maxzoom": tile_set.maxzoom,
        }
        for tile_set in tile_sets
    ]


def _layer(layer: Mapping[Any, Any], tilejson_url: Callable[[str], str]) -> dict[str, Any]:
    url = tilejson_url(layer["layer_id"])
    base = url.removesuffix(".json")
    told = {key: value for key, value in layer.items() if key != "generation"}
    return told | {"tiles": f"{base}/{layer['generation']}/{{z}}/{{x}}/{{y}}.mvt", "tilejson": url}


def _message(row: Mapping[Any, Any], language: Language) -> str:
    state = State(row["state"])
    if row["error_code"]:
        return language.say(_failure(row["error_code"]).message, row["error_params"] or {})
    if state is State.RUNNING and row["phase"] in _PHASE_TEXTS:
        return language.translate(_PHASE_TEXTS[row["phase"]])
    return language.translate(_STATE_TEXTS[state])


def _progress_detail(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    if row["progress_unit"] is None:
        return None
    return {"done": row["progress_done"], "total": row["progress_total"], "unit": row["progress_unit"]}


def _error(row: Mapping[Any, Any], language: Language) -> dict[str, Any] | None:
    if not row["error_code"]:
        return None
    failure = _failure(row["error_code"])
    return {
        "code": row["error_code"],
        "class": row["error_class"],
        "kind": failure.kind,
        "advice": language.translate(failure.advice),
        "retryable": failure.retryable,
    }


def _failure(code: str) -> Failure:
    """What is told of an error; one that only a newer release's worker knows is as good as unexpected."""
    return FAILURES.get(code, FAILURES["internal"])


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds") if moment else None
