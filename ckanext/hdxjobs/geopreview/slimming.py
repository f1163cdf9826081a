"""Large shapes with no more vertices than the tiles of a zoom show: coordinates only, no I/O.

What PostGIS does with a shape before it encodes it is done here first (Douglas and Peucker's way), so that
the rest need not travel.  The result is the same: what such simplifying keeps, simplifying again keeps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ckanext.hdxjobs.geopreview.cutting import FEWEST, Kind, Parts, joined, offsets
from ckanext.hdxjobs.geopreview.pyramid import Flags, Floats, Ints

#: Times the tolerance of simplification from which both sides of a ring's box tell that the ring stays.
SURELY_DRAWN = 4
#: The same, for all but slivers.
MOSTLY_DRAWN = 2
#: Vertices that a ring keeps of those inside a cell or two.
MARKED = 8
#: Vertices of a shape in a tile up to which it is left as it is.
FEW = 1_000
#: Vertices from which a shape is drawn coarser, and how: see ``hdxjobs.tile_shape_v2``.
MANY = 10_000
COARSER = 4
COARSER_ROUNDS = 5
#: Vertices of a line that is simplified as a whole, and of its runs where it is longer: GEOS goes down a step on its
#: stack for each tooth of a saw, and looks at all the others there.
LONGEST_LINE, RUN = 10_000, 1_000


def slim(parts: Parts, unit: float) -> Parts:
    """Parts as the tiles that they were cut to show them.

    :param unit: metres; of the tiles
    """
    if parts.kind is Kind.POINT or not len(parts):
        return parts
    shape = parts.tile * (parts.feature.max() + 1) + parts.feature
    if shape.max() > len(parts):
        shape = np.unique(shape, return_inverse=True)[1]
    tolerance = _tolerances(parts, shape, unit)
    kept = np.flatnonzero(~specks(parts, shape, tolerance))
    return simplify(decimate(parts.take(kept), unit), shape[kept], tolerance[kept])


def _tolerances(parts: Parts, shape: Ints, unit: float) -> Floats:
    """(m) metres: a unit, or more for shapes of so many rings that they will be drawn coarser."""
    found = np.full(len(parts), unit)
    smaller = np.minimum(*_sides(parts))
    for _ in range(COARSER_ROUNDS if parts.kind is Kind.RING else 0):
        rings = np.bincount(shape, weights=smaller > MOSTLY_DRAWN * found)
        found[FEWEST[Kind.RING] * rings[shape] > MANY] *= COARSER
    return found


def specks(parts: Parts, shape: Ints, tolerance: Floats) -> Flags:
    """Rings that simplifying makes vanish, where a larger one of the same shape stays.

    A shape that might vanish as a whole has none: its mark is made of all of it.

    :param shape: (m) which parts are of one shape in one tile
    :param tolerance: (m) metres
    """
    if parts.kind is not Kind.RING:
        return np.zeros(len(parts), bool)
    width, height = _sides(parts)
    stays = np.bincount(shape, weights=np.minimum(width, height) > SURELY_DRAWN * tolerance) > 0
    vanishing: Flags = (np.hypot(width, height) <= tolerance) & stays[shape]
    return vanishing


def decimate(parts: Parts, cell: float) -> Parts:
    """Fewer vertices: of those that follow each other inside one cell of a grid, the first and the last.

    Coordinates stay as they are, and so do borders that two shapes share.  Rings that would have too few to be
    drawn have as many as they need, from all around them: they lie in a cell or two, it does not matter which.

    :param cell: metres
    """
    if parts.kind is Kind.POINT or not len(parts):
        return parts
    change = np.ones(len(parts.xy) + 1, bool)
    column, row = np.floor(parts.xy / cell).T
    change[1:-1] = (column[1:] != column[:-1]) | (row[1:] != row[:-1])
    change[parts.starts] = True
    kept = change[:-1] | change[1:]
    poor = np.add.reduceat(kept, parts.starts[:-1], dtype=np.int64) < FEWEST[parts.kind]
    kept |= np.repeat(poor & (parts.lengths <= MARKED), parts.lengths)
    poor &= parts.lengths > MARKED
    shares = np.outer(parts.lengths[poor] - 1, np.linspace(0, 1, MARKED))
    kept[(parts.starts[:-1][poor, None] + np.round(shares).astype(np.int64)).ravel()] = True
    at = offsets(kept.astype(np.int64))
    return replace(parts, xy=np.compress(kept, parts.xy, axis=0), starts=at[parts.starts])


def simplify(parts: Parts, shape: Ints, tolerance: Floats) -> Parts:
    """Shapes of many vertices without those that lie within ``tolerance`` of what is drawn.

    Rings that vanish are left out, unless all of a shape would.

    :param shape: (m) which parts are of one shape in one tile
    :param tolerance: (m) metres; larger ones are taken where a shape stays too large
    """
    large = np.bincount(shape, weights=parts.lengths)[shape] > FEW
    if not large.any():
        return parts
    few, full = parts.take(np.flatnonzero(~large)), parts.take(np.flatnonzero(large))
    shape = shape[large]
    thin = _simplified(full, shape, tolerance[large])
    drawn = thin.lengths >= FEWEST[parts.kind]
    gone = np.bincount(shape, weights=drawn)[shape] == 0
    return joined([few, thin.take(np.flatnonzero(drawn)), full.take(np.flatnonzero(gone))])


def _simplified(parts: Parts, shape: Ints, tolerance: Floats) -> Parts:
    lines = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, parts.xy, (parts.starts,))
    again: Ints = np.arange(len(parts))
    most = tolerance.min() * COARSER**COARSER_ROUNDS
    while len(again):
        lines[again] = _thinned(lines[again], tolerance[again])
        lengths = shapely.get_num_coordinates(lines)
        drawn = lengths >= FEWEST[parts.kind]
        tolerance = tolerance * COARSER
        too_large = np.bincount(shape, weights=np.where(drawn, lengths, 0))[shape] > MANY
        again = np.flatnonzero(too_large & drawn & (tolerance <= most))
    starts = offsets(shapely.get_num_coordinates(lines).astype(np.int64))
    return replace(parts, xy=shapely.get_coordinates(lines), starts=starts)


def _thinned(lines: npt.NDArray[Any], tolerance: Floats) -> npt.NDArray[Any]:
    """Lines after Douglas and Peucker; long ones run by run first, and then once more as a whole."""
    thin = lines.copy()
    for place in np.flatnonzero(shapely.get_num_coordinates(lines) > LONGEST_LINE):
        thin[place] = _in_runs(lines[place], tolerance[place])
    short = shapely.get_num_coordinates(thin) <= LONGEST_LINE
    thin[short] = shapely.simplify(thin[short], tolerance[short], preserve_topology=False)
    return thin


def _in_runs(line: shapely.LineString, tolerance: float) -> shapely.LineString:
    xy = shapely.get_coordinates(line)
    # Where a run ends, the next one begins.
    at = np.sort(np.concatenate([np.arange(len(xy)), np.arange(RUN, len(xy) - 1, RUN)]))
    runs = shapely.linestrings(xy[at], indices=np.arange(len(at)) // (RUN + 1))
    thin = shapely.simplify(runs, tolerance, preserve_topology=False)
    left, run = shapely.get_coordinates(thin, return_index=True)
    return shapely.LineString(left[np.append(True, run[1:] == run[:-1])])


def _sides(parts: Parts) -> tuple[Floats, Floats]:
    """Width and height of each part's box; metres."""
    west, south, east, north = parts.box.T
    return east - west, north - south
