"""Rows of a table as points or shapes: numbers, texts and geometries in columns become well-known binary.

Works on whole batches; only values that are no plain numbers are read one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from ckanext.hdxjobs.geopreview.coordinates import Found, find
from ckanext.hdxjobs.geopreview.values import Coordinates

Floats = npt.NDArray[np.float64]

#: Rows that are looked at to find the columns.
SAMPLE_ROWS = 200
#: Characters of a value that may be a pair or a geometry; no more are looked at.
SAMPLE_CHARACTERS = 500

_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_NUMBER = r"^[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$"
_PARTS = re.compile(r"\d+(?:[.,]\d+)?")
_SRID = re.compile(r"^\s*SRID=(\d+);", re.IGNORECASE)


class Rows:
    """The places of a table's rows.

    :ivar without: number in GDAL's batches of the column of whole geometries, which is no field; None: there is none
    :ivar stated_crs: authority code, or None: the numbers have to tell
    """

    def __init__(self, found: Found, first: pa.RecordBatch) -> None:
        self._found = found
        self.without = None if found.geometry is None else found.geometry + 1
        self.stated_crs = "EPSG:4326" if found.stated else None
        if found.geometry is not None:
            self.stated_crs = _srid(_sample(first.column(found.geometry + 1)))

    def take(self, batch: pa.RecordBatch) -> pa.Array:
        """Well-known binary, in the order x, y; null for a row without a place."""
        found = self._found
        if found.geometry is not None:
            return _geometries(batch.column(found.geometry + 1))
        if found.both is not None:
            latitude, longitude = _pairs(batch.column(found.both + 1))
            return _points(longitude, latitude)
        assert found.longitude is not None  # noqa: S101 (for the type checker: they come as a pair)
        assert found.latitude is not None  # noqa: S101
        return _points(_angles(batch.column(found.longitude + 1)), _angles(batch.column(found.latitude + 1)))


def rows(names: list[str], first: pa.RecordBatch | None, named: Coordinates) -> Rows | None:
    """How to place a table's rows, or None: nobody can tell.

    :param names: of the columns, which follow the fid in GDAL's batches
    :raises coordinates.ColumnMissingError: a column that the publisher named is not there
    """
    head = [] if first is None else [_sample(first.column(number + 1)) for number in range(len(names))]
    found = find(names, head or [[] for _ in names], named)
    if found is None or first is None:
        return None
    return Rows(found, first)


def _sample(column: pa.Array) -> list[str]:
    texts = (
        str(value)[:SAMPLE_CHARACTERS].strip()
        for value in column[:SAMPLE_ROWS].to_pylist()
        if value is not None
    )
    return [text for text in texts if text]


def _srid(texts: Iterable[str]) -> str | None:
    for text in texts:
        stated = _SRID.match(text)
        if stated:
            return f"EPSG:{stated[1]}"
    return None


def _points(x: Floats, y: Floats) -> pa.Array:
    placed = ~(np.isnan(x) | np.isnan(y))
    found = np.zeros(int(placed.sum()), _POINT)
    found["order"], found["type"], found["x"], found["y"] = 1, 1, x[placed], y[placed]
    ends = np.concatenate([[0], np.cumsum(placed)]).astype(np.int32) * _POINT.itemsize
    valid = np.packbits(placed, bitorder="little")
    buffers = [
        pa.py_buffer(valid.tobytes()),
        pa.py_buffer(ends.astype(np.int32)),
        pa.py_buffer(found.tobytes()),
    ]
    return pa.Array.from_buffers(pa.binary(), len(x), buffers)


def _angles(column: pa.Array) -> Floats:
    """Numbers of a column; NaN where there is none."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    plain = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), fill_value=False)
    numbers = pc.if_else(plain, pc.replace_substring(texts, ",", "."), None).cast(pa.float64())
    result = np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    odd = np.flatnonzero(~np.asarray(plain) & np.asarray(pc.is_valid(texts)))
    for place in odd:
        result[place] = angle(str(texts[place]))
    return result


def angle(text: str) -> float:
    """Degrees of texts such as 1°17'31″S, 36,82 E, N 1 17.5; NaN: it is none."""
    letters = re.sub(r"[^A-Z]", "", text.upper().replace("OESTE", "W").replace("OUEST", "W"))
    numbers = [float(part.replace(",", ".")) for part in _PARTS.findall(text)]
    if not 1 <= len(numbers) <= 3 or letters not in ("", "N", "S", "E", "W", "O", "L"):
        return math.nan
    if any(number >= 60 for number in numbers[1:]):
        return math.nan
    if len(numbers) > 1 and not re.search(r"[°º'′:\s]", text.strip()):
        return math.nan
    size = math.fsum(number / 60**place for place, number in enumerate(numbers))
    return -size if letters in ("S", "W", "O") or text.strip().startswith("-") else size


def _pairs(column: pa.Array) -> tuple[Floats, Floats]:
    """Latitudes and longitudes of "lat, lon" and "lat lon altitude accuracy"."""
    found = np.full((len(column), 2), math.nan)
    for place, value in enumerate(column.to_pylist()):
        parts = re.split(r"[,;\s]+", str(value or "").strip(" ()[]{}\t"))
        if len(parts) >= 2:
            found[place] = angle(parts[0]), angle(parts[1])
    return found[:, 0], found[:, 1]


def _geometries(column: pa.Array) -> pa.Array:
    """Geometries of WKT, EWKT, hexadecimal WKB or GeoJSON; empty where a text is none."""
    return pa.array([_geometry(value) for value in column.to_pylist()], pa.binary())


def _geometry(value: Any) -> bytes | None:
    text = _SRID.sub("", str(value or "")).strip()
    if not text:
        return None
    read = shapely.from_geojson if text.startswith("{") else shapely.from_wkt
    try:
        if re.match(r"^0[01][0-9A-Fa-f]+$", text):
            shape = shapely.from_wkb(bytes.fromhex(text))
        else:
            shape = read(text)
    except (shapely.errors.GEOSException, ValueError, TypeError):
        return None
    wkb: bytes = shapely.to_wkb(shape)
    return wkb
