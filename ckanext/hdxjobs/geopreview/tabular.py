"""Rows of a table as points or shapes: numbers, texts and geometries in columns become well-known binary.

Works on whole batches; only values that are no plain numbers are read one by one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from ckanext.hdxjobs.geopreview.books import Tally
from ckanext.hdxjobs.geopreview.coordinates import Found, find
from ckanext.hdxjobs.geopreview.values import Coordinates

Floats = npt.NDArray[np.float64]

#: Rows that are looked at to find the columns.
SAMPLE_ROWS = 200
#: What a table that states nothing is in, if its numbers are degrees.
WGS84 = 4326
#: Characters of a value that may be a pair or a geometry; no more are looked at.
SAMPLE_CHARACTERS = 500

_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_NUMBER = r"^[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$"
_PARTS = re.compile(r"\d+(?:[.,]\d+)?")
#: Latitude and longitude, and what questionnaires write behind them: altitude and accuracy.
_PAIR = (
    r"^[\s(\[{]*(?P<latitude>[-+]?\d+(?:\.\d+)?)\s*(?:[,;]\s*|\s)(?P<longitude>[-+]?\d+(?:\.\d+)?)"
    r"(?:\s+[-+]?\d+(?:\.\d+)?){0,2}[\s)\]}]*$"
)
_HEMISPHERES = re.compile(r"(.*?\d.*?[NS])[\s,;]+(.*[EWOL])", re.IGNORECASE)
_SRID = re.compile(r"\s*SRID=(\d+);", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"0[01][0-9A-Fa-f]+")
#: Signs of other keyboards: minus, degrees, the decimal sign of Arabic.
_PLAIN = str.maketrans({**dict.fromkeys("−–—‐‑", "-"), **dict.fromkeys("º˚", "°"), "٫": ".", "،": ","})
#: Words for what signs say too.
_WORDS = (
    (re.compile(r"DEG(?:REES?)?|MIN(?:UTES?)?|SEC(?:ONDS?)?"), " "),
    (re.compile(r"NORTH|NORTE|NORD"), "N"),
    (re.compile(r"SOUTH|SUR|SUL|SUD"), "S"),
    (re.compile(r"OESTE|OUEST|WEST"), "W"),
    (re.compile(r"EAST|ESTE|LESTE|EST"), "E"),
)


class Rows:
    """The places of a table's rows.

    :ivar without: number in GDAL's batches of the column of whole geometries, which is no field; None: there is none
    :ivar stated_crs: authority code, or None: the numbers have to tell
    :ivar swapped: what is called latitude holds longitudes, and the other way round
    :ivar at_zero: rows whose numbers are both 0, which often means that nobody knew
    """

    def __init__(self, found: Found, first: pa.RecordBatch) -> None:
        self._found = found
        self._srid = 0
        self.without = None if found.geometry is None else found.geometry + 1
        self.stated_crs = "EPSG:4326" if found.stated else None
        self.swapped = False
        self.at_zero = Tally()
        if found.geometry is not None:
            self._srid = _srid(_texts(first.column(found.geometry + 1)[:SAMPLE_ROWS]))
            self.stated_crs = f"EPSG:{self._srid}" if self._srid else None
        else:
            self.swapped = found.stated and _are_swapped(*self._numbers(first))

    def take(self, batch: pa.RecordBatch) -> pa.Array:
        """Well-known binary, in the order x, y; null for a row without a place."""
        if self._found.geometry is not None:
            return _geometries(batch.column(self._found.geometry + 1), srid=self._srid)
        latitude, longitude = self._numbers(batch)
        self.at_zero.add((latitude == 0) & (longitude == 0), batch.column(0).to_numpy(zero_copy_only=False))
        return _points(latitude, longitude) if self.swapped else _points(longitude, latitude)

    def _numbers(self, batch: pa.RecordBatch) -> tuple[Floats, Floats]:
        """What the columns of latitude and longitude hold."""
        found = self._found
        if found.both is not None:
            return _pairs(batch.column(found.both + 1))
        assert found.longitude is not None  # noqa: S101 (for the type checker: they come as a pair)
        assert found.latitude is not None  # noqa: S101
        return _angles(batch.column(found.latitude + 1)), _angles(batch.column(found.longitude + 1))


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


def _are_swapped(latitude: Floats, longitude: Floats) -> bool:
    """Whether no row can be right as it is, and every one the other way round."""
    placed = ~(np.isnan(latitude) | np.isnan(longitude))
    north, east = np.abs(latitude[placed]), np.abs(longitude[placed])
    return bool(placed.any() and north.min() > 90 and north.max() <= 180 and east.max() <= 90)


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
    """Degrees of texts such as 1°17'31″S, 36,82 E, N 1 17.5; NaN: it is none.

    A lone O is west, as in French, Spanish, Portuguese and Italian.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_PLAIN)).upper().strip(" '")
    for word, sign in _WORDS:
        plain = word.sub(sign, plain)
    letters = re.sub(r"[^A-Z]", "", plain)
    found = _PARTS.findall(plain)
    numbers = [float(part.replace(",", ".")) for part in found]
    if not 1 <= len(numbers) <= 3 or letters not in ("", "N", "S", "E", "W", "O", "L"):
        return math.nan
    if any(number >= 60 for number in numbers[1:]) or any(not number.is_integer() for number in numbers[:-1]):
        return math.nan
    if len(numbers) > 1 and not re.search(r"[°º'′:\s]", plain):
        return math.nan
    size = math.fsum(number / 60**place for place, number in enumerate(numbers))
    return -size if letters in ("S", "W", "O") or re.match(r"[^\d]*-", plain) else size


def _pairs(column: pa.Array) -> tuple[Floats, Floats]:
    """Latitudes and longitudes of "lat, lon" and "lat lon altitude accuracy"."""
    texts = column.cast(pa.string())
    parts = pc.extract_regex(texts, _PAIR)
    latitude, longitude = (
        np.array(pc.struct_field(parts, place).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        for place in (0, 1)
    )
    for place in np.flatnonzero(np.asarray(parts.is_null()) & np.asarray(texts.is_valid())):
        latitude[place], longitude[place] = pair(str(texts[place]))
    return latitude, longitude


def pair(text: str) -> tuple[float, float]:
    """Latitude and longitude of a text with decimal commas or hemispheres; NaN where it has none."""
    plain = text.strip(" ()[]{}\t\n")
    halves = _HEMISPHERES.fullmatch(plain)
    parts = list(halves.groups()) if halves else [part for part in re.split(r"\s*;\s*|,?\s+", plain) if part]
    if len(parts) < 2 or (";" in plain and len(parts) > 2):
        return math.nan, math.nan
    return angle(parts[0]), angle(parts[1])


def _geometries(column: pa.Array, *, srid: int) -> pa.Array:
    """Geometries of WKT, EWKT, hexadecimal WKB or GeoJSON; null where a text is none, or in another CRS."""
    texts = _texts(column)
    shapes = np.full(len(texts), None, dtype=object)
    bare = np.array([_SRID.sub("", text, count=1) for text in texts], dtype=object)
    notations = np.array([_notation(text) for text in bare])
    for notation, read in _READERS.items():
        these = notations == notation
        if these.any():
            shapes[these] = read(bare[these], on_invalid="ignore")
    own, expected = shapely.get_srid(shapes), srid or WGS84
    for place, text in enumerate(texts):
        stated = _SRID.match(text) if text[:5].strip() else None
        if (stated and int(stated[1]) != expected) or own[place] not in (-1, 0, expected):
            shapes[place] = None
    return pa.array(shapely.to_wkb(shapes), pa.binary())


#: What reads each notation; what cannot be read is None.
_READERS: dict[str, Callable[..., Any]] = {
    "wkt": shapely.from_wkt,
    "hexadecimal": shapely.from_wkb,
    "geojson": shapely.from_geojson,
}


def _notation(text: str) -> str:
    if text.startswith("{"):
        return "geojson"
    return "hexadecimal" if _HEXADECIMAL.fullmatch(text) else "wkt" if text else ""


def _texts(column: pa.Array) -> list[str]:
    return [str(value or "").strip() for value in column.to_pylist()]


def _srid(texts: Iterable[str]) -> int:
    """The first one that is stated, or 0."""
    for text in texts:
        stated = _SRID.match(text)
        if stated:
            return int(stated[1])
        if _HEXADECIMAL.fullmatch(text):
            shape = shapely.from_wkb(text, on_invalid="ignore")
            if shape is not None and shapely.get_srid(shape) > 0:
                return int(shapely.get_srid(shape))
    return 0
