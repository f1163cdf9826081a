"""Well-known binary of a whole batch, read without making an object of any shape.

Knows the shapes that nearly all files are made of: points, lines, polygons and the multis of each, with or
without heights and measures.  What else there is, is left to others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: The columns of ``Runs``.
Columns = tuple[Ints, Ints, Ints, Ints]

#: Types by their numbers in the standard.
POINT, LINE, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(1, 8)
LITTLE_ENDIAN = 1
#: Flags that PostGIS and old GDAL put into the type; the standard adds 1000, 2000 or 3000 instead.
EWKB_Z, EWKB_M, EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
#: Bytes of: order and type; a count; two ordinates.
HEAD, COUNT, PAIR = 5, 4, 16
#: Lines, rings or points of a shape that are looked at side by side with those of all others.
MAX_ROUNDS = 250


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
    :ivar rings: (m) for the shell of a polygon in a multipolygon: how many rings it has with its holes; else 0
    """

    feature: Ints
    start: Ints
    length: Ints
    rings: Ints

    def take(self, which: Flags | Ints) -> Runs:
        """Some of the runs."""
        return Runs(self.feature[which], self.start[which], self.length[which], self.rings[which])


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
        known = codes.native & (codes.base >= POINT) & (codes.base <= MULTIPOLYGON)
        known &= self.end - self.begin >= HEAD + COUNT
        place = self.begin + HEAD
        left = np.ones(len(known), np.int64)
        several = known & (codes.base >= POLYGON)
        left[several] = self._at("<u4", place[several])
        place[several] += COUNT
        known &= left > 0
        long = known & (left > MAX_ROUNDS)
        pieces, unfinished = self._walk(known & ~long, place.copy(), left.copy(), codes)
        long[unfinished] = True
        pieces += [
            self._long(at, int(place[at]), int(left[at]), codes) for at in np.flatnonzero(long).tolist()
        ]
        runs = Runs(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
        return runs.take(np.argsort(runs.feature, kind="stable"))

    def _walk(self, known: Flags, place: Ints, left: Ints, codes: Codes) -> tuple[list[Columns], Ints]:
        """Go from run to run, in all shapes at once; a shape that does not end where it should has none.

        :param known: the shapes to walk through
        :param place: where each has its next part; used up, as ``left``: how many parts follow
        :returns: columns of runs, and the shapes that have more runs than there are rounds
        """
        base, stride = codes.base, codes.stride
        rings = np.zeros(len(base), np.int64)
        good = known.copy()
        found: list[Columns] = []
        active: Ints = np.flatnonzero(known)
        for _ in range(MAX_ROUNDS):
            if not len(active):
                break
            opens = (base[active] == MULTIPOLYGON) & (rings[active] == 0)
            headed = active[has_heads(base[active]) & (opens | (base[active] != MULTIPOLYGON))]
            good[headed] &= self._begin_with(place[headed], base[headed] - (MULTIPOINT - POINT))
            place[headed] += HEAD
            good[active] &= place[active] + COUNT * (1 + opens) <= self.end[active]
            opens, active = opens[good[active]], active[good[active]]
            opened = active[opens]
            rings[opened] = self._at("<u4", place[opened])
            place[opened] += COUNT
            length = np.ones(len(active), np.int64)
            counted = has_counts(base[active])
            length[counted] = self._at("<u4", place[active[counted]])
            start = place[active] + np.where(counted, COUNT, 0)
            place[active] = start + length * stride[active]
            good[active] &= (place[active] <= self.end[active]) & ((rings[active] > 0) | ~opens)
            found.append((active, start, length, np.where(opens, rings[active], 0)))
            rings[active] -= base[active] == MULTIPOLYGON
            left[active] -= rings[active] <= 0
            active = active[good[active] & (left[active] > 0)]
        good[known] &= place[known] == self.end[known]
        none = np.zeros(0, np.int64)
        kept = [(a[good[a]], b[good[a]], c[good[a]], d[good[a]]) for a, b, c, d in found]
        return [*kept, (none, none, none, none)], active

    def _long(self, feature: int, place: int, left: int, codes: Codes) -> Columns:
        """The same for one shape of very many runs."""
        data, end = self.data[: self.end[feature]].data, int(self.end[feature])
        stride, base = int(codes.stride[feature]), int(codes.base[feature])
        # All parts begin alike; what begins otherwise is odd.
        head = bytes(data[place : place + HEAD]) if has_heads(base) else b""
        well = not head or bool(self._begin_with(np.array([place]), base - (MULTIPOINT - POINT)).all())
        counted, several = has_counts(base), base == MULTIPOLYGON
        count = struct.Struct("<I").unpack_from
        found: list[int] = []
        try:
            while well and left:
                left -= 1
                well = bool(data[place : place + len(head)] == head)
                place += len(head)
                rings = count(data, place)[0] if several else 0
                place += COUNT * several
                well = well and bool(rings or not several)
                for ring in range(rings or 1):
                    length = count(data, place)[0] if counted else 1
                    place += COUNT * counted
                    found += (place, length, 0 if ring else rings)
                    place += length * stride
        except struct.error:
            well = False
        columns = np.array(found if well and place == end else [], np.int64).reshape(-1, 3).T
        return np.full(columns.shape[1], feature), columns[0], columns[1], columns[2]

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
        return window(self.data, kind)[places]


def spread(start: Ints, length: Ints, step: Ints | int) -> Ints:
    """The bytes at which the vertices of runs begin."""
    first = np.cumsum(length) - length
    spots: Ints = np.repeat(start - first * step, length) + np.arange(int(length.sum())) * (
        step if isinstance(step, int) else np.repeat(step, length)
    )
    return spots


def has_heads(base: Any) -> Any:
    """Whether parts of a shape begin with order and type."""
    return base >= MULTIPOINT


def has_counts(base: Any) -> Any:
    """Whether the vertices of a run are counted."""
    return (base != POINT) & (base != MULTIPOINT)


def window(data: Bytes, kind: Any) -> Any:
    """A view of all values of a kind, one beginning at each byte."""
    count = max(len(data) - np.dtype(kind).itemsize + 1, 0)
    return np.ndarray((count,), kind, buffer=data, strides=(1,))
