"""Polygons of one feature that overlap: tiles would draw a hole there, so they become one polygon.

GEOS can take the square of the edges to combine polygons, and minutes for a few thousand that cross each
other.  So the effort is counted first, in pairs of boxes that meet, and bounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ckanext.hdxjobs.geopreview.wkb import Flags, Floats, Ints

Shapes = npt.NDArray[Any]

#: Pairs of edges of a shape whose boxes meet: about a second of work for GEOS.
MAX_MEETINGS = 100_000
#: The same for all shapes of a layer.
MAX_MEETINGS_IN_ALL = 500_000
#: Vertices of a shape that is looked at at all: finding out takes its time as well.
MAX_VERTICES = 20_000
#: Degrees that shapes are moved apart, so that all can be looked at together.
APART = 1000.0
#: Pairs that may be found at once, for the memory they take.
MAX_FOUND = 20_000_000


def suspects(feature: Ints, length: Ints, boxes: Floats, *, shells: Flags) -> Ints:
    """Multipolygons of which boxes of polygons overlap, by west and east and by south and north; sorted out cheaply.

    :param feature: (m) to which each ring belongs; ascending
    :param length: (m) its vertices
    :param boxes: (m, 4) west, south, east, north; degrees
    :param shells: (m) which rings are the shells of polygons in a multipolygon
    """
    if not shells.any():
        return np.zeros(0, np.int64)
    small = np.bincount(feature, length) <= MAX_VERTICES
    several = np.bincount(feature[shells], minlength=len(small)) > 1
    looked_at = shells & (small & several)[feature]
    owner, boxes = feature[looked_at], boxes[looked_at]
    across, along = (_overlapping(owner, boxes[:, axis], boxes[:, axis + 2]) for axis in (0, 1))
    both: Ints = np.intersect1d(across, along)
    return both


def _overlapping(owner: Ints, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Ints:
    """Owners of which two intervals overlap."""
    order = np.lexsort((low, owner))
    apart = APART * owner[order]
    reached = np.maximum.accumulate(high[order] + apart)[:-1]
    hit = (low[order] + apart)[1:] <= reached
    owners: Ints = owner[order][1:][hit & (owner[order][1:] == owner[order][:-1])]
    return owners


class Uniter:
    """Unites overlapping polygons of multipolygons.

    Spends a bounded effort on a layer; what is beyond it stays as it is.
    """

    def __init__(self, most: int = MAX_MEETINGS_IN_ALL) -> None:
        self._left = most

    def unite(self, shapes: Shapes) -> Flags:
        """Replace shapes in place; which were replaced."""
        several = (shapely.get_num_geometries(shapes) > 1) & (shapely.get_dimensions(shapes) == 2)
        several &= shapely.get_num_coordinates(shapes) <= MAX_VERTICES
        several[several] = ~shapely.is_valid(shapes[several])
        united = np.zeros(len(shapes), bool)
        for place in np.flatnonzero(several):
            parts = shapely.get_parts(shapes[place])
            try:
                which = self._overlapping(parts)
                whole = _union(parts[which]) if len(which) else None
            except shapely.errors.GEOSException:
                # Too odd even for GEOS: it is drawn as it is.
                continue
            if whole is not None:
                shapes[place] = shapely.multipolygons([*np.delete(parts, which), *shapely.get_parts(whole)])
                united[place] = True
        return united

    def _overlapping(self, parts: Shapes) -> Ints:
        """Which polygons share some of their insides with another; none where GEOS could not combine them."""
        none: Ints = np.zeros(0, np.int64)
        if shapely.get_dimensions(parts).min() < 2:
            return none
        boxes: Any = shapely.box(*shapely.bounds(parts).T)
        pairs = meeting(boxes, MAX_MEETINGS)
        if pairs is None:
            return none
        one, other = pairs[:, pairs[0] < pairs[1]]
        vertices = shapely.get_num_coordinates(parts)
        larger = np.where(vertices[one] < vertices[other], other, one)
        smaller = one + other - larger
        shapely.prepare(parts[np.unique(larger)])
        touching = shapely.intersects(parts[larger], parts[smaller])
        larger, smaller = larger[touching], smaller[touching]
        if not len(larger):
            return none
        edges = meeting(_edges(parts[np.unique([larger, smaller])]), MAX_MEETINGS)
        if edges is None:
            return none
        shared = shapely.relate_pattern(parts[larger], parts[smaller], "T********")
        which: Ints = np.unique([larger[shared], smaller[shared]]).astype(np.int64)
        if not len(which) or edges.shape[1] > self._left:
            return none
        self._left -= edges.shape[1]
        return which


def _union(polygons: Shapes) -> Any:
    return shapely.make_valid(shapely.multipolygons(polygons), method="structure", keep_collapsed=False)


def tangled(polygons: Shapes) -> bool:
    """Whether polygons have edges that meet so often that GEOS could not combine them."""
    edges = _edges(polygons)
    return meeting(edges, MAX_MEETINGS + 10 * len(edges)) is None


def _edges(polygons: Shapes) -> Shapes:
    """Boxes of all edges."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    same = ring[:-1] == ring[1:]
    low, high = np.minimum(xy[:-1], xy[1:])[same], np.maximum(xy[:-1], xy[1:])[same]
    boxes: Shapes = shapely.box(*low.T, *high.T)
    return boxes


def meeting(boxes: Shapes, most: int) -> Ints | None:
    """(2, n): pairs of boxes that meet, both ways around, each with itself too; None if there are more than ``most``."""
    tree = shapely.STRtree(boxes)
    step = max(MAX_FOUND // max(len(boxes), 1), 1)
    found: list[Ints] = []
    amount = 0
    for first in range(0, len(boxes), step):
        pairs: Ints = tree.query(boxes[first : first + step])
        pairs[0] += first
        found.append(pairs)
        amount += pairs.shape[1]
        if amount > most:
            return None
    return np.concatenate(found, axis=1)
