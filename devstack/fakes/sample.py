"""An event as portals have them."""

from __future__ import annotations

from typing import Any

#: Properties of a download as a portal with groups and organisations has them.
SAMPLE: dict[str, Any] = {
    "resource name": "admin2-boundaries.geojson",
    "resource id": "5d1f0c7a-2b31-4c0e-9a51-3a3f1f0e7c11",
    "dataset name": "subnational-boundaries",
    "dataset id": "8c2a64e9-1f07-4b7e-8d36-0f3f6f3b9c55",
    "org name": "humanitarian-office",
    "org id": "9f6c7a52-7d0e-4c2b-9a51-3a3f1f0e7c12",
    "group names": ["Chad", "Mali"],
    "group ids": ["tcd", "mli"],
    "format": "GeoJSON",
    "authenticated": False,
    "event source": "direct",
    "server side": True,
}
