"""The template door: what pages show of a preview, and what their script reports.

Templates get one dict and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import ckan.plugins.toolkit as tk

from ckanext.hdxjobs import config, files
from ckanext.hdxjobs.analytics import traffic
from ckanext.hdxjobs.geopreview import answer, record
from ckanext.hdxjobs.geopreview.values import Phase, State

__all__ = ["hdxjobs_events", "hdxjobs_map", "hdxjobs_panel", "hdxjobs_preview", "hdxjobs_script"]

_PENDING = {State.QUEUED.value, State.RUNNING.value, State.RETRYING.value}

#: Which part of the whole wait a phase takes, from and to; measured on files of some megabytes.
_PHASE_SHARES = {
    Phase.FETCH.value: (0.05, 0.3),
    Phase.DETECT.value: (0.3, 0.4),
    Phase.LOAD.value: (0.4, 0.9),
    Phase.PUBLISH.value: (0.9, 1.0),
}

Bounds = tuple[float, float, float, float]


def hdxjobs_preview(resource_id: str) -> dict[str, Any] | None:
    """The resource's preview as ``hdx_geopreview_status`` answers it, or None when it has none."""
    return record.status(resource_id)


def hdxjobs_script() -> str:
    """URL of the page's one script; its query changes with each release."""
    return _static("hdxjobs-map.js") + "?v=" + files.version()


def hdxjobs_events(
    dataset: dict[str, Any] | None,
    resource: dict[str, Any] | None,
    group: dict[str, Any] | None,
    page: Any | None,
) -> dict[str, Any] | None:
    """What the page's script needs to report events, or None: it must not.

    :param page: of the list of datasets that is shown, if there is one
    :returns: ``url`` to report to; ``about``: ids of what the page shows; ``search``: properties of the
        search that it shows, or None
    """
    settings = traffic.settings()
    if not (settings.enabled and settings.browser_events):
        return None
    about = {
        "dataset id": (dataset or {}).get("id"),
        "resource id": (resource or {}).get("id"),
        "org id": group["id"] if group and group.get("is_organization") else None,
    }
    return {
        "url": tk.url_for("hdxjobs.events", locale="default"),
        "about": {name: value for name, value in about.items() if value},
        "search": _search(page),
    }


#: Parameters of a search, and the properties that they become.
_FILTERS = {
    "tags": "tag filters",
    "res_format": "format filters",
    "organization": "org filters",
    "groups": "group filters",
    "license_id": "license filters",
}


def _search(page: Any | None) -> dict[str, Any] | None:
    """The search that a list of datasets answers; None when it is just the whole list."""
    endpoint = str(tk.request.endpoint or "")
    if page is None or not endpoint.endswith((".search", "organization.read", "group.read")):
        return None
    asked = tk.request.args
    told: dict[str, Any] = {name: asked.getlist(key) for key, name in _FILTERS.items() if asked.getlist(key)}
    if asked.get("q"):
        told["search term"] = asked["q"]
    if not told:
        return None
    return told | {
        "number of results": page.item_count,
        "result type": "dataset",
        "search box location": tk.request.path,
    }


def hdxjobs_panel(preview: dict[str, Any], package_id: str) -> dict[str, Any]:
    """What the panel on the resource page says.

    :returns: ``kind`` "waiting", "stopped" or "ready"; ``pending``: will it change by itself;
        ``title``: None where a headline would make too much of it; ``sentence``, ``detail``: plain words;
        ``percent``: 0..100 or None when nobody knows;
        ``measure``: how far it is in numbers, or "";
        ``advice``, ``code``, ``warnings`` and ``retry_url`` only for those who may edit;
        ``status_url``: where the next answer comes from
    """
    resource_id = preview["resource_id"]
    pending = preview["state"] in _PENDING
    kind = "waiting" if pending else "ready" if preview["state"] == State.READY.value else "stopped"
    urls = {"id": package_id, "resource_id": resource_id}
    panel = {
        "kind": kind,
        "pending": pending,
        "title": tk._("Map preview"),
        "sentence": preview["message"],
        "detail": _detail(preview, kind),
        "percent": _percent(preview),
        "measure": answer.measure(preview["progress_detail"], record.visitors_language()),
        "advice": None,
        "code": None,
        "warnings": [],
        "retry_url": None,
        "status_url": tk.url_for("hdxjobs.preview_status", **urls),
    }
    if kind != "stopped":
        return panel
    # Nobody promised a map of a zip full of documents: to visitors that is no failure.
    failed = preview["state"] != State.UNSUPPORTED.value
    panel["title"] = tk._("This file cannot be shown on a map") if failed else None
    if tk.h.check_access("hdx_geopreview_submit", {"id": resource_id}):
        error = preview["error"] or {}
        panel |= {
            "title": tk._("This file cannot be shown on a map"),
            "advice": error.get("advice"),
            "code": error.get("code"),
            "warnings": preview["warnings"],
            "retry_url": tk.url_for("hdxjobs.preview_retry", **urls),
        }
    return panel


def _detail(preview: dict[str, Any], kind: str) -> str:
    """The second sentence: what happens next, or what is on view meanwhile."""
    if kind == "stopped":
        return tk._("The map below still shows the file as it was before.") if preview["layers"] else ""
    if preview["state"] == State.RETRYING.value:
        return tk._("It is tried again by itself. The map appears here as soon as it is ready.")
    if preview["layers"]:
        return tk._("Until it is ready, the map below shows the file as it was before.")
    return tk._("The map appears here as soon as it is ready. You need not wait on this page.")


def _percent(preview: dict[str, Any]) -> int | None:
    if preview["progress_detail"] and preview["progress"] is None:
        return None
    return percent(preview["phase"], preview["progress"])


def percent(phase: str | None, progress: float | None) -> int | None:
    """One bar for the whole job: a bar that starts again with each phase says nothing."""
    if phase not in _PHASE_SHARES:
        return None
    start, end = _PHASE_SHARES[phase]
    return round(100 * (start + (end - start) * (progress or 0)))


def hdxjobs_map(preview: dict[str, Any], package_id: str) -> dict[str, Any]:
    """What the page's script needs to draw a preview, and what stands around the map.

    :returns: ``settings`` (plain JSON: layers, first view, basemap, URLs and translated texts),
        ``loading``, ``download_url``, ``warnings``
    """
    layers = preview["layers"]
    tiles_path = urlsplit(layers[0]["tilejson"]).path.rpartition("/")[0] + "/" if layers else "/"
    settings = {
        "layers": [_layer(layer) for layer in layers],
        "bounds": _corners(joint_bounds([layer["bbox"] for layer in layers if layer["bbox"]])),
        "basemap": basemap(config.map_settings()),
        "maplibre": _static(files.MAPLIBRE_FOLDER + "/"),
        "land": _static("land/"),
        "tiles_path": tiles_path,
        "text": _texts(),
        "locale": _locale(),
    }
    return {
        "settings": settings,
        "warnings": preview["warnings"],
        "download_url": tk.url_for("resource.download", id=package_id, resource_id=preview["resource_id"]),
    }


def _static(path: str) -> str:
    url: str = tk.h.url_for_static("/hdxjobs/" + path)
    return url


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    """The part of a layer's status that the script uses."""
    told = {key: layer[key] for key in ("name", "geometry_type", "fields")}
    # The query changes with the version: a browser may keep an older TileJSON for a minute.
    version = layer["tiles"].split("/")[-4]
    told["tilejson"] = f"{layer['tilejson']}?v={version}"
    bbox = layer["bbox"]
    if bbox and bbox[0] > bbox[2]:
        # MapLibre asks for no tiles at all when west is greater than east.
        told["source_bounds"] = [-180, bbox[1], 180, bbox[3]]
    return told


def joint_bounds(boxes: Sequence[Sequence[float]]) -> Bounds | None:
    """The box around all boxes; degrees, east may exceed 180 when one of them crosses the antimeridian.

    :param boxes: (west, south, east, north); west > east means that the box crosses the antimeridian
    """
    if not boxes:
        return None
    crosses = any(west > east for west, _, east, _ in boxes)
    spans = []
    for west, _, east, _ in boxes:
        if west > east:
            spans.append((west, east + 360))
        elif crosses and east < 0:
            spans.append((west + 360, east + 360))
        else:
            spans.append((west, east))
    west, east = min(span[0] for span in spans), max(span[1] for span in spans)
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    return (-180, south, 180, north) if east - west >= 360 else (west, south, east, north)


def _corners(bounds: Bounds | None) -> list[list[float]] | None:
    """South-west and north-east corner, as MapLibre wants them; kept inside Web Mercator."""
    if bounds is None:
        return None
    west, south, east, north = bounds
    return [[west, max(south, -85.0)], [east, min(north, 85.0)]]


def basemap(settings: config.MapSettings) -> dict[str, str]:
    """The setting ``map.basemap`` as a kind and a URL."""
    value = settings.basemap.strip()
    attribution = settings.basemap_attribution
    if value == "land":
        return {"kind": "land", "url": "", "attribution": attribution or "Natural Earth"}
    if value in ("", "none"):
        return {"kind": "none", "url": "", "attribution": attribution}
    kind = "raster" if "{z}" in value else "style"
    return {"kind": kind, "url": value, "attribution": attribution}


def _texts() -> dict[str, str]:
    """What the script says itself; the script holds no language."""
    return {
        "loading": tk._("Loading the map…"),
        "empty": tk._("There is nothing on this map: the file has no features to show."),
        "preparing": tk._("This map is still being prepared: for now it shows a rough version of the data."),
        "script_failed": tk._("The map could not be loaded. Reload the page to try again."),
        "no_webgl": tk._(
            "This browser cannot draw the map, because it lacks WebGL 2 or has it switched off."
        ),
        "data_gone": tk._(
            "The data of this map is not there any more. It may have been replaced: reload the page."
        ),
        "data_forbidden": tk._("You may not see the data of this map. Log in again and reload the page."),
        "data_busy": tk._("The map server is busy, and parts of the map are missing."),
        "data_unreachable": tk._("The site cannot be reached, and parts of the map are missing."),
        "basemap_failed": tk._("The background map cannot be reached. The data is shown without it."),
        "layers": tk._("Layers"),
        "no_attributes": tk._("This feature has no attributes."),
        "nothing_here": tk._("There is nothing under the cross."),
        "show_all": tk._("(show all)"),
        # TRANSLATORS: place in a list of features found at the same spot, as in "1 of 3"
        "n_of_n": tk._("{number} of {count}"),
        "next": tk._("Next feature"),
    }


def _locale() -> dict[str, str]:
    """MapLibre's own texts."""
    return {
        "Map.Title": tk._(
            "Map of the data. Arrow keys move it, plus and minus zoom, Enter tells what is under the cross."
        ),
        "NavigationControl.ZoomIn": tk._("Zoom in"),
        "NavigationControl.ZoomOut": tk._("Zoom out"),
        "FullscreenControl.Enter": tk._("Full screen"),
        "FullscreenControl.Exit": tk._("Leave full screen"),
        "Popup.Close": tk._("Close"),
        "ScaleControl.Meters": tk._("m"),
        "ScaleControl.Kilometers": tk._("km"),
        "CooperativeGesturesHandler.WindowsHelpText": tk._("Hold Ctrl and scroll to zoom the map"),
        "CooperativeGesturesHandler.MacHelpText": tk._("Hold ⌘ and scroll to zoom the map"),
        "CooperativeGesturesHandler.MobileHelpText": tk._("Move the map with two fingers"),
    }
