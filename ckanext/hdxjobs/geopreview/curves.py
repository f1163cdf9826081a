"""Curves, surfaces and collections of any depth as flat points, lines and polygons.

GDAL hands over what the file has, and GEOS has neither arcs nor triangles.  This reads well-known binary
(ISO 13249-3 and PostGIS's own) part by part; a collection inside a collection is only more parts, so that
no depth of nesting is too much.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ckanext.hdxjobs.geopreview.wkb import (
    COLLECTION,
    EWKB_SRID,
    LINE,
    LITTLE_ENDIAN,
    MULTIPOINT,
    POINT,
    POLYGON,
    Floats,
    split_code,
)

CIRCULAR, COMPOUND, CURVE_POLYGON, MULTICURVE, MULTISURFACE = range(8, 13)
SURFACE, TIN, TRIANGLE = 15, 16, 17
#: Types that are drawn as something else than they are.
REPLACED = frozenset({CIRCULAR, COMPOUND, CURVE_POLYGON, MULTICURVE, MULTISURFACE, SURFACE, TIN, TRIANGLE})
CONTAINERS = frozenset({*range(MULTIPOINT, COLLECTION + 1), MULTICURVE, MULTISURFACE, SURFACE, TIN})

#: Radians; an arc is drawn in steps of at most so much, as GDAL does: 0.06 % of the radius off at worst.
STEP = np.radians(4)


class NotWkbError(ValueError):
    """Bytes that are no well-known binary of any kind known here."""


@dataclass(frozen=True)
class Flat:
    """A shape made flat.

    :ivar blob: WKB: a point, line or polygon, a multi of one of them, or a collection of these three
    :ivar replaced: there was a curve, a surface or a triangle
    :ivar heights: there was a height or a measure other than zero
    """

    blob: bytes
    replaced: bool
    heights: bool


def flatten(blob: bytes) -> Flat:
    """The same shape of straight lines, in two dimensions, with no collection in another.

    Rings are closed, and no ring has fewer than four vertices, no line fewer than two.

    :raises NotWkbError: nobody can read it
    """
    reader = _Reader(blob)
    try:
        # Numbers too large for arcs end as infinity, which is nowhere on Earth.
        with np.errstate(over="ignore", invalid="ignore"):
            parts = list(reader.parts())
    except (struct.error, ValueError) as error:
        raise NotWkbError from error
    kinds = {kind for kind, _ in parts}
    parts_wkb = [_head(kind) + body for kind, body in parts]
    if not reader.several and parts:
        whole = parts_wkb[0]
    else:
        number = kinds.pop() + MULTIPOINT - POINT if len(kinds) == 1 else COLLECTION
        whole = _head(number) + struct.pack("<I", len(parts)) + b"".join(parts_wkb)
    return Flat(whole, reader.replaced, reader.heights)


def _head(number: int) -> bytes:
    return struct.pack("<BI", LITTLE_ENDIAN, number)


class _Reader:
    """Goes through a blob once, from its first byte to its last."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._place = 0
        self.several = False
        self.replaced = False
        self.heights = False

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """Type and body (all after the type) of each point, line and polygon."""
        pending = 1
        while pending:
            pending -= 1
            order, number, width = self._type()
            if number in CONTAINERS:
                self.several = True
                pending += self._count(order)
            elif number == POINT:
                yield POINT, self._vertices(order, width, 1).tobytes()
            elif number in (LINE, CIRCULAR, COMPOUND):
                line = self._line(order, number, width)
                yield LINE, _counted(np.repeat(line, 2, axis=0) if len(line) == 1 else line)
            elif number in (POLYGON, TRIANGLE, CURVE_POLYGON):
                shell, *holes = list(self._rings(order, number, width)) or [_NONE]
                rings = [ring for ring in (shell, *holes) if len(ring)] if len(shell) else []
                yield (
                    POLYGON,
                    struct.pack("<I", len(rings)) + b"".join(_counted(closed(ring)) for ring in rings),
                )
            else:
                raise NotWkbError(number)

    def _type(self) -> tuple[str, int, int]:
        """Byte order, type and ordinates of a vertex of the geometry that begins here."""
        order = "<" if self._blob[self._place : self._place + 1] == b"\x01" else ">"
        (code,) = struct.unpack_from(f"{order}I", self._blob, self._place + 1)
        self._place += 5 + (4 if code & EWKB_SRID else 0)
        number, has_z, has_m = split_code(code)
        self.replaced = self.replaced or number in REPLACED
        return order, number, 2 + has_z + has_m

    def _count(self, order: str) -> int:
        (count,) = struct.unpack_from(f"{order}I", self._blob, self._place)
        self._place += 4
        return int(count)

    def _vertices(self, order: str, width: int, count: int) -> Floats:
        found = np.frombuffer(self._blob, f"{order}f8", count * width, self._place).reshape(-1, width)
        self._place += found.nbytes
        self.heights = self.heights or bool(np.any(np.nan_to_num(found[:, 2:])))
        return np.ascontiguousarray(found[:, :2], "<f8")

    def _line(self, order: str, number: int, width: int) -> Floats:
        if number != COMPOUND:
            vertices = self._vertices(order, width, self._count(order))
            return straight(vertices) if number == CIRCULAR else vertices
        members = []
        for _ in range(self._count(order)):
            inner_order, inner, inner_width = self._type()
            if inner not in (LINE, CIRCULAR):
                raise NotWkbError(inner)
            members.append(self._line(inner_order, inner, inner_width))
        # Each member begins where the one before it ends.
        return np.concatenate([members[0], *(member[1:] for member in members[1:])]) if members else _NONE

    def _rings(self, order: str, number: int, width: int) -> Iterator[Floats]:
        for _ in range(self._count(order)):
            if number == CURVE_POLYGON:
                inner_order, inner, inner_width = self._type()
                if inner not in (LINE, CIRCULAR, COMPOUND):
                    raise NotWkbError(inner)
                yield self._line(inner_order, inner, inner_width)
            else:
                yield self._vertices(order, width, self._count(order))


_NONE: Floats = np.zeros((0, 2))


def _counted(vertices: Floats) -> bytes:
    return struct.pack("<I", len(vertices)) + vertices.tobytes()


def closed(ring: Floats) -> Floats:
    """The ring with its first vertex as its last, that one repeated where there are too few."""
    if not len(ring):
        return ring
    # Not a number equals nothing, so that no such ring would ever be closed.
    ring = np.where(np.isnan(ring), np.inf, ring)
    ends = 0 if np.array_equal(ring[0], ring[-1]) else 1
    return np.concatenate([ring, np.repeat(ring[:1], max(ends, 4 - len(ring)), axis=0)])


def straight(vertices: Floats) -> Floats:
    """Chords of a string of arcs.

    :param vertices: (2 n + 1, 2): an arc goes from each even vertex through the next to the one after it
    :returns: a line through all of these vertices, and more between them
    """
    pieces = [vertices[:1]]
    for first in range(0, len(vertices) - 2, 2):
        pieces.append(_arc(*vertices[first : first + 3]))
    if len(vertices) % 2 == 0:
        pieces.append(vertices[-1:])
    return np.concatenate(pieces)


def _arc(begin: Floats, through: Floats, end: Floats) -> Floats:
    """The vertices of an arc without its first; a full circle where it ends where it begins."""
    a, b = through - begin, end - begin
    double_area = a[0] * b[1] - a[1] * b[0]
    if np.array_equal(begin, end):
        centre = a / 2
        sweeps = (np.pi, np.pi)
    elif abs(double_area) <= 1e-12 * max(a @ a, b @ b) or not np.isfinite(double_area):
        return np.stack([through, end])
    else:
        aa, bb = a @ a, b @ b
        centre = np.array([b[1] * aa - a[1] * bb, a[0] * bb - b[0] * aa]) / (2 * double_area)
        sweeps = (_turn(-centre, a - centre, double_area), _turn(a - centre, b - centre, double_area))
    halves = []
    for start, sweep, last in ((-centre, sweeps[0], through), (a - centre, sweeps[1], end)):
        steps = max(int(np.ceil(abs(sweep) / STEP)), 1)
        angle = np.linspace(0, sweep, steps + 1)[1:]
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = start
        half = np.column_stack([x * cos - y * sin, x * sin + y * cos]) + centre + begin
        half[-1] = last
        halves.append(half)
    return np.concatenate(halves)


def _turn(start: Floats, stop: Floats, side: float) -> float:
    """Radians from one direction to another; positive (counterclockwise) if ``side`` is."""
    angle = float(np.arctan2(start[0] * stop[1] - start[1] * stop[0], start @ stop))
    full = 2 * np.pi
    return angle % full if side > 0 else -(-angle % full)
