"""Well-known binary of a whole batch, read and written without making an object of any shape.

Knows the shapes that nearly all files are made of: points, lines, polygons, multipoints, multilines and
multipolygons of one polygon, with or without heights and measures.  What else there is, is left to others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Types by their numbers in the standard.
POINT, LINE, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(1, 8)
LITTLE_ENDIAN = 1
#: Flags that PostGIS and old GDAL put into the type; the standard adds 1000, 2000 or 3000 instead.
EWKB_Z, EWKB_M, EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
#: Bytes of: order and type; a count; two ordinates.
HEAD, COUNT, PAIR = 5, 4, 16
#: The first bytes of a shape in EWKB: all of them for a multipolygon of one polygon, fewer for others.
PREFIX = np.dtype(
    {
        "names": ["order", "type", "srid", "count", "inner_order", "inner_type", "inner_count"],
        "formats": ["u1", "<u4", "<u4", "<u4", "u1", "<u4", "<u4"],
    }
)
PREFIX_BYTES = np.array([0, 9, 9, 13, 13, 13, 22])
#: The head of a point or line inside another shape.
INNER = np.dtype([("order", "u1"), ("type", "<u4")])
#: Shapes of more lines, rings or points than these are not worth a step for each.
MAX_RUNS = 250


@dataclass(frozen=True)
class Codes:
    """What the first bytes of each blob say.

    :ivar base: (n) number of the type without heights and measures; 0 where there is none
    :ivar has_z: (n)
    :ivar has_m: (n)
    :ivar native: (n) little-endian and without an SRID
    """

    base: Ints
    has_z: Flags
    has_m: Flags
    native: Flags

    @property
    def stride(self) -> Ints:
        """(n) bytes of a vertex."""
        return PAIR + 8 * (self.has_z.astype(np.int64) + self.has_m)

    def take(self, which: Ints) -> Codes:
        """Some of them."""
        return Codes(self.base[which], self.has_z[which], self.has_m[which], self.native[which])


def split_code(number: Any) -> tuple[Any, Any, Any]:
    """The type, and whether there are heights and measures, of one number or of many."""
    plain = number & 0x1FFFFFFF
    thousands = plain // 1000
    has_z = (number & EWKB_Z > 0) | (thousands == 1) | (thousands == 3)
    has_m = (number & EWKB_M > 0) | (thousands == 2) | (thousands == 3)
    return plain % 1000, has_z, has_m


@dataclass(frozen=True)
class Runs:
    """Vertices that follow each other in a batch: a line, a ring or a point each, in the order of the batch.

    :ivar feature: (m) index of the blob
    :ivar start: (m) byte of the first vertex
    :ivar length: (m) vertices
    """

    feature: Ints
    start: Ints
    length: Ints

    def take(self, which: Flags) -> Runs:
        """Some of the runs."""
        return Runs(self.feature[which], self.start[which], self.length[which])


class Blobs:
    """The bytes of an Arrow array of WKB.

    :ivar begin: (n) first byte of each blob in ``data``
    :ivar end: (n) the byte after its last
    """

    def __init__(self, array: pa.Array) -> None:
        width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
        _, offsets, data = array.buffers()
        bounds = np.frombuffer(offsets, width, len(array) + 1, array.offset * np.dtype(width).itemsize)
        self.begin: Ints = bounds[:-1].astype(np.int64)
        self.end: Ints = bounds[1:].astype(np.int64)
        self.data: Bytes = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        self._null: Flags = np.asarray(array.is_null())

    def codes(self) -> Codes:
        """The types of the blobs."""
        known = ~self._null & (self.end - self.begin >= HEAD)
        little = known.copy()
        little[known] = self.data[self.begin[known]] == LITTLE_ENDIAN
        number = np.zeros(len(self.begin), np.int64)
        number[little] = self._at("<u4", self.begin[little] + 1)
        big = known & ~little
        number[big] = self._at(">u4", self.begin[big] + 1)
        base, has_z, has_m = split_code(number)
        return Codes(base, has_z, has_m, native=little & (number & EWKB_SRID == 0))

    def runs(self, codes: Codes) -> Runs:
        """The runs of all shapes that are laid out as they should be; other shapes have none."""
        base, stride = codes.base, codes.stride
        known = codes.native & (base >= POINT) & (base <= MULTIPOLYGON)
        known &= self.end - self.begin >= HEAD + COUNT
        place = self.begin + HEAD
        left = np.ones(len(base), np.int64)
        several = known & (base >= POLYGON)
        left[several] = self._at("<u4", place[several])
        place[several] += COUNT
        single = np.flatnonzero(several & (base == MULTIPOLYGON) & (left == 1))
        known[several & (base == MULTIPOLYGON)] = False
        alone = (self.end[single] - place[single] >= HEAD + COUNT) & self._begin_with(place[single], POLYGON)
        single = single[alone]
        known[single] = True
        left[single] = self._at("<u4", place[single] + HEAD)
        place[single] += HEAD + COUNT
        known &= (left > 0) & (left <= MAX_RUNS)
        return self._walk(known, place, left, stride=stride, base=base)

    def _walk(self, known: Flags, place: Ints, left: Ints, *, stride: Ints, base: Ints) -> Runs:
        """Go from run to run, in all shapes at once; a shape that does not end where it should has none."""
        found = [Runs(*(np.zeros(0, np.int64) for _ in range(3)))]
        good = known.copy()
        inner_heads, counts = _has_inner_heads(base), _has_counts(base)
        active: Ints = np.flatnonzero(known)
        while len(active):
            headed = active[inner_heads[active]]
            good[headed] &= self._begin_with(place[headed], base[headed] - (MULTIPOINT - POINT))
            place[headed] += HEAD
            good[active] &= place[active] + COUNT <= self.end[active]
            active = active[good[active]]
            length = np.ones(len(active), np.int64)
            counted = counts[active]
            length[counted] = self._at("<u4", place[active[counted]])
            start = place[active] + np.where(counted, COUNT, 0)
            place[active] = start + length * stride[active]
            fits = place[active] <= self.end[active]
            good[active[~fits]] = False
            found.append(Runs(active[fits], start[fits], length[fits]))
            left[active] -= 1
            active = active[fits & (left[active] > 0)]
        good[known] &= place[known] == self.end[known]
        feature = np.concatenate([part.feature for part in found])
        order = np.argsort(feature, kind="stable")
        starts = np.concatenate([part.start for part in found])
        lengths = np.concatenate([part.length for part in found])
        return Runs(feature[order], starts[order], lengths[order]).take(good[feature[order]])

    def _begin_with(self, place: Ints, base: Ints | int) -> Flags:
        """Whether little-endian geometries of this type begin at these bytes."""
        good: Flags = place + HEAD <= len(self.data)
        if good.any():
            spot = np.where(good, place, 0)
            found, _, _ = split_code(self._at("<u4", spot + 1).astype(np.int64))
            good &= (self.data[spot] == LITTLE_ENDIAN) & (found == base)
        return good

    def ordinates(self, places: Ints) -> Floats:
        """The numbers that begin at these bytes."""
        numbers: Floats = self._at("<f8", places)
        return numbers

    def _at(self, kind: str, places: Ints) -> Any:
        return _window(self.data, kind)[places]


def encode(base: Ints, runs: Runs, xy: Floats, *, srid: int) -> pa.Array:
    """Flat EWKB of the shapes that have runs; null for the others.

    :param base: (n) types, as ``Codes.base``
    :param xy: (vertices of all runs, 2)
    """
    amount = np.bincount(runs.feature, minlength=len(base))
    drawn = amount > 0
    lead = np.where(_has_inner_heads(base), HEAD, 0)[runs.feature]
    counted = _has_counts(base)[runs.feature]
    run_bytes = lead + np.where(counted, COUNT, 0) + PAIR * runs.length
    head_bytes = np.where(drawn, PREFIX_BYTES[np.where(drawn, base, 0)], 0)
    # Where each shape and each run begins.
    ends = np.cumsum(head_bytes + np.bincount(runs.feature, run_bytes, len(base)).astype(np.int64))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    places = np.cumsum(run_bytes) - run_bytes + np.cumsum(head_bytes)[runs.feature]
    out = np.zeros(int(offsets[-1]) + PREFIX.itemsize, np.uint8)
    _window(out, PREFIX)[offsets[:-1][drawn]] = _prefixes(base[drawn], amount[drawn], srid)
    headed = lead > 0
    heads = np.ones(int(headed.sum()), INNER)
    heads["type"] = base[runs.feature[headed]] - (MULTIPOINT - POINT)
    _window(out, INNER)[places[headed]] = heads
    places += lead
    _window(out, "<u4")[places[counted]] = runs.length[counted]
    places += np.where(counted, COUNT, 0)
    spots = spread(places, runs.length, PAIR)
    numbers = _window(out, "<f8")
    numbers[spots] = xy[:, 0]
    numbers[spots + 8] = xy[:, 1]
    return _array(offsets, out, drawn)


def spread(start: Ints, length: Ints, step: Ints | int) -> Ints:
    """The bytes at which the vertices of runs begin."""
    first = np.cumsum(length) - length
    spots: Ints = np.repeat(start - first * step, length) + np.arange(int(length.sum())) * (
        step if isinstance(step, int) else np.repeat(step, length)
    )
    return spots


def _has_inner_heads(base: Ints) -> Flags:
    headed: Flags = (base == MULTIPOINT) | (base == MULTILINE)
    return headed


def _has_counts(base: Ints) -> Flags:
    counted: Flags = (base != POINT) & (base != MULTIPOINT)
    return counted


def _prefixes(base: Ints, amount: Ints, srid: int) -> Any:
    prefixes = np.ones(len(base), PREFIX)
    prefixes["type"] = base | EWKB_SRID
    prefixes["srid"] = srid
    prefixes["count"] = np.where(base == MULTIPOLYGON, 1, amount)
    prefixes["inner_type"] = POLYGON
    prefixes["inner_count"] = amount
    return prefixes


def _array(offsets: Ints, data: Bytes, drawn: Flags) -> pa.Array:
    validity = None if drawn.all() else pa.py_buffer(np.packbits(drawn, bitorder="little"))
    buffers = [validity, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(drawn), buffers)


def _window(data: Bytes, kind: Any) -> Any:
    """A view of all values of a kind, one beginning at each byte."""
    count = max(len(data) - np.dtype(kind).itemsize + 1, 0)
    return np.ndarray((count,), kind, buffer=data, strides=(1,))
