"""The addresses at which a layer of the tests' site answers."""

from __future__ import annotations

from typing import Any


def tile_path(layer: dict[str, Any], place: str = "0/0/0", version: int = 1) -> str:
    return f"/hdxjobs/tiles/{layer['layer_id']}/{version}/{place}.mvt"


def paths(layer: dict[str, Any]) -> dict[str, str]:
    base = f"/dataset/{layer['package_id']}/resource/{layer['resource_id']}"
    return {
        "tile": tile_path(layer),
        "tilejson": f"/hdxjobs/tiles/{layer['layer_id']}.json",
        "panel": f"{base}/preview-status",
        "status": f"/api/action/hdx_geopreview_status?id={layer['resource_id']}",
    }
