"""Pure rules of the geopreview wing: which resources are candidates, what identifies a file and a layer."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import BboxLonLat, Coordinates, Field

#: Words of the format field that say nothing of what is inside; the content decides in the worker.
PACKINGS = frozenset(
    {"zip", "gz", "gzip", "zipped", "application/zip", "application/x-zip-compressed", "application/gzip"}
)
#: Words of it that fit geodata and all else; file names decide.
VAGUE = frozenset(
    {
        "json",
        "xml",
        "txt",
        "text",
        "application/json",
        "application/xml",
        "text/xml",
        "text/plain",
        "application/octet-stream",
        "application/x-sqlite3",
    }
)
PACKED_ENDINGS = (".zip", ".gz")

#: The fields of a resource whose change means "another file" (design decision 4).
FINGERPRINT_FIELDS = ("url", "url_type", "format", "size", "hash", "last_modified")

#: Extras of a resource in which publishers name the columns that hold the place of a table's rows.
COORDINATE_EXTRAS = ("latitude_column", "longitude_column", "geometry_column")

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
#: Metres of a tile unit at zoom 0, of which a tile has 4096.
WORLD_UNITS_M = 40_075_016.685578488 / 4096
#: Units between neighbouring vertices at a layer's maxzoom.
UNITS_A_STEP = 16
#: A layer's maxzoom is one of these or between them.
COARSEST_MAX_ZOOM, DEEPEST_MAX_ZOOM = 6, 16
#: Names that tiles use for themselves.
RESERVED_KEYS = frozenset({"hdx_fid", "hdx_geom", "hdx_shape", "point_count"})


def chosen_formats(words: Iterable[str]) -> frozenset[str]:
    """Names of formats by a setting's words, in any letter case; no word means all of them."""
    wanted = {word.lower() for word in words}
    return frozenset(name for name in FORMATS if not wanted or name.lower() in wanted)


def is_candidate(*, declared_format: str, name: str, url: str, formats: frozenset[str]) -> bool:
    """Whether a resource may be geodata, judged without its bytes.

    The format decides, however it is spelled ("zipped shapefile", "SHP (zip)", "KML/KMZ"); where it is
    empty or vague, the name and then the path of the URL do.

    :param formats: names of the formats that are switched on
    """
    declared = declared_format.strip().lower().lstrip(".")
    known = PACKINGS.union(*(FORMATS[one].declared for one in formats))
    words = {declared, re.sub(r"[^a-z0-9]+", "", declared), *re.split(r"[^a-z0-9]+", declared)}
    if words & known:
        return True
    if declared and declared not in VAGUE:
        return False
    endings = tuple(ending for one in formats for ending in FORMATS[one].endings) + PACKED_ENDINGS
    return any(text.strip().lower().endswith(endings) for text in (name, urlsplit(url).path))


def file_name(url: str, name: str) -> str:
    """A file name for a resource: the last part of its URL's path, else its name."""
    return PurePosixPath(urlsplit(url).path).name or name or "file"


def fingerprint(resource: Mapping[str, Any]) -> str:
    """What identifies the file behind a resource: same fingerprint, no new job."""
    parts = [str(resource.get(field) or "") for field in FINGERPRINT_FIELDS]
    named = coordinates(resource.get("extras"))
    if named.is_set:
        parts += [named.latitude, named.longitude, named.geometry]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def coordinates(extras: Mapping[str, Any] | None) -> Coordinates:
    """The columns that a publisher names, out of the resource's extras."""
    latitude, longitude, geometry = (str((extras or {}).get(key) or "").strip() for key in COORDINATE_EXTRAS)
    return Coordinates(latitude, longitude, geometry)


def layer_id(resource_id: str, layer_name: str) -> str:
    """A stable public id of a layer; opaque, 20 hexadecimal digits.

    ``layer_name`` is "" for the only layer of a file, so that replacing
    ``towns-2025.geojson`` by ``towns-2026.geojson`` keeps the id.
    """
    return hashlib.sha256(f"{resource_id}\0{layer_name}".encode()).hexdigest()[:20]


def table_name(layer: str, generation: int) -> str:
    """The PostGIS table of one generation of a layer."""
    return f"l_{layer}_g{generation}"


def stored_name(table: str) -> str:
    """The table of a layer's stored tiles, beside the layer's own."""
    return f"s{table[1:]}"


def sketches_name(table: str) -> str:
    """The table of a layer's large shapes in rough, beside the layer's own."""
    return f"k{table[1:]}"


def pieces_name(table: str) -> str:
    """The table of pieces of a layer's large shapes, beside the layer's own."""
    return f"p{table[1:]}"


def make_fields(names_and_types: Iterable[tuple[str, str]]) -> tuple[Field, ...]:
    """Fields with safe columns and unique property keys, in the order of the file."""
    taken, numbers = set(RESERVED_KEYS), dict[str, int]()
    fields = []
    for number, (name, kind) in enumerate(names_and_types, 1):
        key = unique_key(clean(name) or f"field_{number}", taken, numbers)
        taken.add(key)
        fields.append(Field(name=name or key, type=kind, column=f"c{number}", key=key))
    return tuple(fields)


def unique_key(name: str, taken: Container[str], numbers: dict[str, int]) -> str:
    """``name`` cut to 63 bytes; numbered when that is taken already.

    :param numbers: the last one that each name got, so that of thousands of twins none counts from 2 again
    """
    whole = clean(name)
    key = first = shorten(whole, MAX_KEY_BYTES)
    while key in taken:
        numbers[first] = numbers.get(first, 1) + 1
        suffix = f"_{numbers[first]}"
        key = shorten(whole, MAX_KEY_BYTES - len(suffix)) + suffix
    return key


def clean(text: str) -> str:
    """A text that PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def shorten(text: str, max_bytes: int) -> str:
    """The longest beginning of ``text`` that has at most ``max_bytes`` bytes in UTF-8."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def layer_names(names_and_files: Iterable[tuple[str, str]]) -> list[str]:
    """Names of layers made unique by their folders or files: "roads (north)", "roads (south)".

    So a name, and with it the layer's id, does not depend on the order of an archive.
    """
    pairs = list(names_and_files)
    result = []
    for name, file in pairs:
        twins = [other for own, other in pairs if own == name]
        marks = (mark for mark in (_folder, _file, str) if len({mark(twin) for twin in twins}) == len(twins))
        mark = next(marks, None) if len(twins) > 1 else None
        result.append(f"{name} ({mark(file)})" if mark and mark(file) else name)
    return unique_names(result)


def _folder(file: str) -> str:
    return PurePosixPath(file).parent.name


def _file(file: str) -> str:
    return PurePosixPath(file).name


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


def max_zoom(bbox_lonlat: BboxLonLat | None, detail_m: float | None = None) -> int:
    """The zoom from which clients may enlarge without anybody seeing it.

    Points are as exact as anything is: a tile unit is 0.6 m at zoom 14, 0.15 m at 16 for plans of a
    site.  Lines and areas have vertices this far apart; a unit is a fraction of that.

    :param detail_m: metres of EPSG:3857 between neighbouring vertices of detailed shapes; None: points
    """
    if bbox_lonlat is None:
        return 0
    if detail_m is not None and detail_m > 0:
        zoom = math.ceil(math.log2(WORLD_UNITS_M * UNITS_A_STEP / detail_m))
        return min(max(zoom, COARSEST_MAX_ZOOM), DEEPEST_MAX_ZOOM)
    west, south, east, north = bbox_lonlat
    return DEEPEST_MAX_ZOOM if max(east - west, north - south) < SITE_DEGREES else 14


def size_text(byte_count: int) -> str:
    """A size for people: "300 MB"."""
    size = float(byte_count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1024:
            return f"{size:g} {unit}" if size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:g} GB" if size == int(size) else f"{size:.1f} GB"
