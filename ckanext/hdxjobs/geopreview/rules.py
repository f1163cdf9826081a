"""Pure rules of the geopreview wing: which resources are candidates, what identifies a file and a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ckanext.hdxjobs.geopreview.values import BboxLonLat, Field

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

#: Columns of a layer that a table of PostgreSQL (at most 1,600) takes beside ours.
MAX_COLUMNS = 1500
#: Columns that fit a row of 8 kB whatever their values are: 25 bytes each at worst.
SAFE_COLUMNS = 300
#: Bytes of an identifier of PostgreSQL, and so of a property key.
MAX_KEY_BYTES = 63
#: Deepest zoom of a tile request; clients enlarge tiles of a layer's maxzoom.
MAX_TILE_ZOOM = 24
#: Degrees; a layer that spans less is the plan of a site or a town.
SITE_DEGREES = 0.2
#: Names that tiles use for themselves.
RESERVED_KEYS = frozenset({"hdx_fid", "hdx_geom", "hdx_shape"})


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


def make_fields(names_and_types: Iterable[tuple[str, str]]) -> tuple[Field, ...]:
    """Fields with safe columns and unique property keys, in the order of the file."""
    taken = set(RESERVED_KEYS)
    fields = []
    for number, (name, kind) in enumerate(names_and_types, 1):
        key = unique_key(name or f"field_{number}", taken)
        taken.add(key)
        fields.append(Field(name=name or key, type=kind, column=f"c{number}", key=key))
    return tuple(fields)


def unique_key(name: str, taken: Container[str]) -> str:
    """``name`` cut to 63 bytes; numbered when that is taken already."""
    whole = clean(name)
    key, number = shorten(whole, MAX_KEY_BYTES), 1
    while key in taken:
        number += 1
        suffix = f"_{number}"
        key = shorten(whole, MAX_KEY_BYTES - len(suffix)) + suffix
    return key


def clean(text: str) -> str:
    """A text that PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def shorten(text: str, max_bytes: int) -> str:
    """The longest beginning of ``text`` that has at most ``max_bytes`` bytes in UTF-8."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def unique_names(names: Iterable[str]) -> list[str]:
    """Names of layers made unique: "roads", "roads (2)"."""
    taken: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.add(unique)
        result.append(unique)
    return result


def is_tile(z: int, x: int, y: int) -> bool:
    """Whether such a tile exists in the web map's grid, as far down as we serve."""
    return 0 <= z <= MAX_TILE_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z


def width_degrees(bbox_lonlat: BboxLonLat) -> float:
    """From west to east, also across the antimeridian."""
    west, _, east, _ = bbox_lonlat
    return east - west if west <= east else east - west + 360


def max_zoom(bbox_lonlat: BboxLonLat | None) -> int:
    """The zoom from which clients may enlarge: a tile unit is 0.6 m at 14, 0.15 m at 16 for plans of a site."""
    if bbox_lonlat is None:
        return 0
    _, south, _, north = bbox_lonlat
    return 16 if max(width_degrees(bbox_lonlat), north - south) < SITE_DEGREES else 14


def size_text(byte_count: int) -> str:
    """A size for people: "300 MB"."""
    size = float(byte_count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1024:
            return f"{size:g} {unit}" if size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:g} GB" if size == int(size) else f"{size:.1f} GB"
