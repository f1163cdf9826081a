"""What ``hdx_geopreview_status`` answers: a row of the ledger in words and plain JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from ckanext.hdxjobs.errors import FAILURES, N_, NOTICES
from ckanext.hdxjobs.geopreview.values import Phase, State, TileSet

Translate = Callable[[str], str]

_STATE_TEXTS = {
    State.QUEUED: N_("The map preview is waiting for a free worker."),
    State.RUNNING: N_("The map preview is being made."),
    State.READY: N_("The map preview is ready."),
    State.DELETED: N_("The map preview was removed."),
}

_PHASE_TEXTS = {
    Phase.FETCH: N_("The file is being fetched."),
    Phase.DETECT: N_("The file is being examined."),
    Phase.LOAD: N_("The data is being loaded."),
    Phase.PUBLISH: N_("The map is being prepared."),
}

_NO_PREVIEW = N_("No map preview has been asked for yet.")
_NOT_SHOWN = N_("Files of this format are not shown on a map.")


def from_row(
    row: Mapping[Any, Any], *, translate: Translate, tilejson_url: Callable[[str], str]
) -> dict[str, Any]:
    """The answer for a preview.

    :param row: a row of ``hdxjobs_preview``
    :param translate: from English to the reader's language
    :param tilejson_url: layer id -> absolute URL of its TileJSON
    """
    error = _error(row, translate)
    return {
        "resource_id": row["resource_id"],
        "state": row["state"],
        "phase": row["phase"],
        "progress": row["progress"],
        "generation": row["generation"],
        "message": _message(row, translate),
        "error": error,
        "warnings": [_notice(notice, translate) for notice in row["notices"]],
        "queued_at": _utc(row["queued_at"]),
        "started_at": _utc(row["started_at"]),
        "finished_at": _utc(row["finished_at"]),
        "shape_info": row["shape_info"],
        "layers": [_layer(layer, tilejson_url) for layer in row["layers"]],
    }


def without_row(resource_id: str, *, candidate: bool, translate: Translate) -> dict[str, Any]:
    """The answer for a resource that never had a preview.

    Its state is "unsupported" when its format is none of ours, else null: nobody asked for it yet.
    """
    return {
        "resource_id": resource_id,
        "state": None if candidate else State.UNSUPPORTED.value,
        "phase": None,
        "progress": None,
        "generation": 0,
        "message": translate(_NO_PREVIEW if candidate else _NOT_SHOWN),
        "error": None,
        "warnings": [],
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "shape_info": [],
        "layers": [],
    }


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


def _message(row: Mapping[Any, Any], translate: Translate) -> str:
    state = State(row["state"])
    if row["error_code"]:
        failure = FAILURES[row["error_code"]]
        return _filled(translate(failure.message), _told(row["error_params"] or {}, translate))
    if state is State.RUNNING and row["phase"]:
        return translate(_PHASE_TEXTS[Phase(row["phase"])])
    return translate(_STATE_TEXTS[state])


def _error(row: Mapping[Any, Any], translate: Translate) -> dict[str, Any] | None:
    if not row["error_code"]:
        return None
    failure = FAILURES[row["error_code"]]
    return {
        "code": failure.code,
        "class": row["error_class"],
        "advice": translate(failure.advice),
        "retryable": failure.retryable,
    }


def _told(params: Mapping[Any, Any], translate: Translate) -> dict[Any, Any]:
    """Params of a message; a reason in our own words has translations, one in GDAL's stays as it is."""
    return {key: translate(value) if key == "reason" and value else value for key, value in params.items()}


def _notice(notice: Mapping[Any, Any], translate: Translate) -> str:
    return _filled(translate(NOTICES[notice["code"]].message), notice)


def _filled(text: str, params: Mapping[Any, Any] | None) -> str:
    """The text with its placeholders filled; a translation with a wrong placeholder must not fail a page."""
    try:
        return text.format(**(params or {}))
    except (KeyError, IndexError, ValueError):
        return text


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds") if moment else None
