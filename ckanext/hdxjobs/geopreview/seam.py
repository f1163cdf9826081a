"""Shapes around the antimeridian and the poles, cut at 180 degrees and put where the map has them.

Degrees, EPSG:4326, longitude first.  A shape is first *unwrapped*: its longitudes are made to go on
beyond 180 instead of jumping to -180.  Then it is cut at each turn of the globe, and the pieces are
moved by whole turns into -180 to 180.  A ring around a pole does not come back to its own beginning when
it is unwrapped; it is closed along the map's edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from ckanext.hdxjobs.geopreview import curves, mending, overlaps
from ckanext.hdxjobs.geopreview.wkb import Flags, Floats

Degrees = Callable[[Floats], Floats]

TURN, HALF_TURN = 360.0, 180.0
#: Degrees that the shorter way around may have at most where only the numbers speak for it.
SHORT_WAY = 90.0
#: Degrees; the same longitude or latitude but for rounding.
SAME = 1e-9
#: Degrees of latitude; beyond it all longitudes are one place.
POLAR = 89.99
#: Degrees; a tenth of a metre: what reaches no further beyond the antimeridian is not cut.
SLIVER = 1e-6


def within_world(shape: Any, degrees: Degrees) -> list[Any]:
    """Pieces of a line or polygon, in degrees, each between -180 and 180.

    :param shape: in the source's CRS
    :param degrees: source's coordinates to degrees, both (n, 2)
    """
    ring = shapely.get_type_id(shape) == mending.POLYGON
    lines = shapely.get_rings(shape) if ring else [shape]
    lonlats = [_unwrapped(shapely.get_coordinates(line), degrees, ring=ring) for line in lines]
    lon = np.concatenate([lonlat[:, 0] for lonlat in lonlats])
    first, last = worlds(lon.min(), lon.max())
    if first == last and not any(_turns(lonlat) for lonlat in lonlats):
        return [_whole(lonlats, first, ring=ring)]
    if not ring:
        return _line(lonlats[0], int(first), int(last))
    lonlats = [_closed_at_pole(lonlat) if _turns(lonlat) else lonlat for lonlat in lonlats]
    return _polygons(lonlats)


def _turns(lonlat: Floats) -> bool:
    """Whether a ring does not come back to where it began."""
    return bool(abs(lonlat[-1, 0] - lonlat[0, 0]) > HALF_TURN)


def _whole(lonlats: list[Floats], world: float, *, ring: bool) -> Any:
    moved = [_moved(lonlat, world) for lonlat in lonlats]
    if not ring:
        return shapely.linestrings(moved[0])
    holes: Any = [shapely.linearrings(hole) for hole in moved[1:]]
    return shapely.polygons(moved[0], holes or None)


def _polygons(lonlats: list[Floats]) -> list[Any]:
    """What an unwrapped shell and its holes enclose, cut and moved."""
    areas: Any = [shapely.polygons(lonlat) for lonlat in lonlats]
    if not all(shapely.is_valid(areas)) or overlaps.tangled(areas):
        return _roughly(lonlats)
    try:
        area = _combined(areas, lonlats)
    except shapely.errors.GEOSException:
        return _roughly(lonlats)
    parts = [part for part in shapely.get_parts(area) if shapely.get_type_id(part) == mending.POLYGON]
    # A hole as large as the shell leaves nothing.
    return parts or _roughly(lonlats)


def _combined(areas: Any, lonlats: list[Floats]) -> Any:
    shell, *holes = (
        shapely.union_all(list(_pieces(area, lonlat))) for area, lonlat in zip(areas, lonlats, strict=True)
    )
    return shapely.difference(shell, shapely.union_all(holes)) if holes else shell


def _pieces(area: Any, lonlat: Floats) -> Iterator[Any]:
    for world in _range(lonlat):
        box = shapely.box(TURN * world - HALF_TURN, -91, TURN * world + HALF_TURN, 91)
        yield shapely.transform(shapely.intersection(area, box), partial(_moved, world=world))


def _roughly(lonlats: list[Floats]) -> list[Any]:
    """The same of rings that cross themselves, vertex by vertex: GEOS could take hours to untangle them.

    A ring that crosses the antimeridian many times stays one, with edges there and back along it.
    """
    shells, *holes = (
        [ring for world in _range(lonlat) for ring in _half_ring(lonlat, world)] for lonlat in lonlats
    )
    boxes = shapely.box(*shapely.bounds(shells).T)
    inside: list[list[Any]] = [[] for _ in shells]
    for hole in (ring for rings in holes for ring in rings):
        inside[int(np.argmax(shapely.intersects(boxes, hole)))].append(hole)
    return [shapely.polygons(shell, mine or None) for shell, mine in zip(shells, inside, strict=True)]


def _half_ring(lonlat: Floats, world: int) -> Iterator[Any]:
    west, east = TURN * world - HALF_TURN, TURN * world + HALF_TURN
    crossed = _with_crossings(_with_crossings(lonlat, west), east)
    within = crossed[(crossed[:, 0] >= west) & (crossed[:, 0] <= east)]
    if len(within):
        yield shapely.linearrings(curves.closed(_moved(within, world)))


def _unwrapped(source: Floats, degrees: Degrees, *, ring: bool = False) -> Floats:
    """The vertices in degrees, longitudes going on beyond 180 where they would jump."""
    lonlat = degrees(source)
    steps = np.diff(lonlat[:, 0])
    turns = np.where(_wraps(source, lonlat, degrees, ring=ring), np.round(steps / TURN), 0)
    lon = lonlat[:, 0].copy()
    lon[1:] -= TURN * np.cumsum(turns)
    return np.column_stack([lon, lonlat[:, 1]])


def _wraps(source: Floats, lonlat: Floats, degrees: Degrees, *, ring: bool) -> Flags:
    """Which edges that seem to cross most of the globe really take the short way around its back.

    An edge is straight in the source's CRS, so the place of its middle tells which way it goes: this
    settles whatever a projection has bent around the antimeridian or a pole.  In degrees, and in
    projections that are open at the antimeridian themselves, the middle says nothing: there a jump is
    how most programs write a crossing, and a long edge is how they write a box, a parallel or a flight.
    It is taken for a crossing if the short way is at most a quarter of the globe, unless it lies at a pole,
    or along a parallel between two meridians (a box, the outline of the world, the edge that closes
    Antarctica), or is a parallel from edge to edge.
    """
    steps = np.diff(lonlat[:, 0])
    long = np.abs(steps) > HALF_TURN
    middle = degrees((source[:-1] + source[1:]) / 2)[:, 0]
    plain = (lonlat[:-1, 0] + lonlat[1:, 0]) / 2
    behind = np.abs((middle - plain + HALF_TURN) % TURN - HALF_TURN) > HALF_TURN / 2
    near = np.abs(steps) >= TURN - SHORT_WAY
    wraps: Flags = long & (behind | (near & ~_along_parallels(lonlat, near, ring=ring)))
    return wraps


def _along_parallels(lonlat: Floats, near: Flags, *, ring: bool) -> Flags:
    """Which edges are long because a box, a parallel or a pole is; in a ring all of them or none."""
    steps = np.abs(np.diff(lonlat, axis=0))
    level = steps[:, 1] <= SAME
    meridian = (steps[:, 0] <= SAME) & ~level
    if len(steps) == 1:
        between = steps[:, 0] >= TURN - SAME
    elif ring:
        between = np.roll(meridian, 1) & np.roll(meridian, -1)
    else:
        between = np.append(True, meridian[:-1]) & np.append(meridian[1:], True)
    at_pole = np.minimum(np.abs(lonlat[:-1, 1]), np.abs(lonlat[1:, 1])) >= POLAR
    along: Flags = (level & between) | at_pole
    return at_pole if ring and np.any(near & ~along) else along


def worlds(west: Any, east: Any) -> tuple[Any, Any]:
    """First and last of the turns of the globe that shapes reach into; turn 0 is -180 to 180.

    :param west: degrees, one number or many; as ``east``
    """
    first = np.floor((west + HALF_TURN + SLIVER) / TURN)
    last = np.ceil((east + HALF_TURN - SLIVER) / TURN) - 1
    # On the antimeridian itself both sides would do.
    here = np.clip(0, np.minimum(first, last), np.maximum(first, last))
    return np.where(first > last, here, first), np.where(first > last, here, last)


def _range(lonlat: Floats) -> range:
    first, last = worlds(lonlat[:, 0].min(), lonlat[:, 0].max())
    return range(int(first), int(last) + 1)


def _line(lonlat: Floats, first: int, last: int) -> list[Any]:
    """The pieces of an unwrapped line, in its own order."""
    for world in range(first + 1, last + 1):
        lonlat = _with_crossings(lonlat, TURN * world - HALF_TURN)
    middle = (lonlat[:-1, 0] + lonlat[1:, 0]) / 2
    home = np.clip(np.floor((middle + HALF_TURN) / TURN), first, last)
    ends = [0, *(np.flatnonzero(np.diff(home)) + 1).tolist(), len(home)]
    return [
        shapely.linestrings(_moved(lonlat[begin : end + 1], home[begin])) for begin, end in pairwise(ends)
    ]


def _moved(lonlat: Floats, world: float) -> Floats:
    """Into the world from 180 west to 180 east, rounding noise included."""
    return np.column_stack([np.clip(lonlat[:, 0] - TURN * world, -HALF_TURN, HALF_TURN), lonlat[:, 1]])


def _with_crossings(lonlat: Floats, meridian: float) -> Floats:
    """The same line with a vertex wherever it crosses a meridian."""
    lon, lat = lonlat.T
    crossed = np.flatnonzero((lon[:-1] - meridian) * (lon[1:] - meridian) < 0)
    share = (meridian - lon[crossed]) / (lon[crossed + 1] - lon[crossed])
    at = lat[crossed] + share * (lat[crossed + 1] - lat[crossed])
    return np.insert(lonlat, crossed + 1, np.column_stack([np.full(len(at), meridian), at]), axis=0)


def _closed_at_pole(lonlat: Floats) -> Floats:
    """A ring around a pole, from antimeridian to antimeridian and back along the nearer pole."""
    turn = np.sign(lonlat[-1, 0] - lonlat[0, 0]) * TURN
    low = min(lonlat[0, 0], lonlat[-1, 0])
    meridian = np.ceil((low - HALF_TURN) / TURN) * TURN + HALF_TURN
    around = _with_crossings(lonlat, meridian)
    start = int(np.argmin(np.abs(around[:, 0] - meridian)))
    around = np.concatenate([around[start:], np.add(around[1 : start + 1], [turn, 0])])
    pole = np.copysign(90.0, lonlat[:, 1].mean())
    corners = [[around[-1, 0], pole], [around[0, 0], pole], around[0]]
    return np.concatenate([around, corners])
