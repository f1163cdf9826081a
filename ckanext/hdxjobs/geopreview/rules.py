"""Pure rules of the geopreview wing: which resources are candidates, what identifies a file and a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

#: What publishers write in the format field, lower case, for the files we read.
#: "zip" is only a candidate: the content decides in the worker.
FORMATS = frozenset(
    {
        "geojson",
        "application/geo+json",
        "kml",
        "application/vnd.google-earth.kml+xml",
        "kmz",
        "application/vnd.google-earth.kmz",
        "shp",
        "shapefile",
        "esri shapefile",
        "zipped shapefile",
        "zipped shapefiles",
        "shp.zip",
        "zipped shp",
        "zip",
        "application/zip",
    }
)

#: File name endings that stand in for a missing format.
SUFFIXES = (".geojson", ".kml", ".kmz", ".shp.zip", ".zip", ".shp")

#: The fields of a resource whose change means "another file" (design decision 4).
FINGERPRINT_FIELDS = ("url", "url_type", "format", "size", "hash", "last_modified")


def is_candidate(*, declared_format: str, name: str, url: str) -> bool:
    """Whether a resource may be geodata, judged without its bytes.

    The format decides; where it is empty, the name and then the path of the URL do.
    """
    declared = declared_format.strip().lower().lstrip(".")
    if declared:
        return declared in FORMATS
    return any(text.strip().lower().endswith(SUFFIXES) for text in (name, urlsplit(url).path))


def file_name(url: str, name: str) -> str:
    """A file name for a resource: the last part of its URL's path, else its name."""
    return PurePosixPath(urlsplit(url).path).name or name or "file"


def fingerprint(resource: Mapping[str, Any]) -> str:
    """What identifies the file behind a resource: same fingerprint, no new job."""
    parts = (str(resource.get(field) or "") for field in FINGERPRINT_FIELDS)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def layer_id(resource_id: str, layer_name: str) -> str:
    """A stable public id of a layer; opaque, 20 hexadecimal digits.

    ``layer_name`` is "" for the only layer of a file, so that replacing
    ``towns-2025.geojson`` by ``towns-2026.geojson`` keeps the id.
    """
    return hashlib.sha256(f"{resource_id}\0{layer_name}".encode()).hexdigest()[:20]


def table_name(layer: str, generation: int) -> str:
    """The PostGIS table of one generation of a layer."""
    return f"l_{layer}_g{generation}"
