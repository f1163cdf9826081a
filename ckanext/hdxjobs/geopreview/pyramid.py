"""Which tiles are too heavy to be made on demand, and who is drawn in them: numbers only, no I/O.

A feature is its box and its number of vertices.  Boxes lie on a grid of 2^30
cells a side over the web map's square, counted from the north-west corner, so
that the cell of any zoom is a shift away.  Features are kept in Z-order: those of one cell, at
whatever zoom, stand side by side, so that no zoom needs a sort of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

GRID_BITS = 30
#: Metres; half the side of the web map's square in EPSG:3857.
HALF_WORLD_M = 20037508.342789244
#: Part of a tile's side that is drawn beyond its edges: 64 units of 4096.
MARGIN_BITS = 6
#: Units of a tile's side.
UNITS = 4096

#: Steps that pull the bits of a number apart: shifts, and the bits that are then in place.
_SPREAD = (
    *((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F)),
    *((2, 0x3333333333333333), (1, 0x5555555555555555)),
)


@dataclass(frozen=True)
class Budget:
    """What one tile may read from the tables when it is made on demand.

    :ivar rows: features, those counted whose box touches the tile
    :ivar vertices: of all these features, or of their pieces
    :ivar walk_vertices: a feature with more is cut into pieces where tiles are heavy
    :ivar short_vertices: a feature with no more is not cut: tiles list it, and it is read whole
    :ivar max_zoom: deepest zoom that is looked at
    """

    rows: int = 4_000
    vertices: int = 50_000
    walk_vertices: int = 5_000
    short_vertices: int = 32
    max_zoom: int = 14


@dataclass(frozen=True)
class Outline:
    """Where the features of a layer lie that can be drawn, in the order of their rows.

    :ivar fid: (n) ids
    :ivar bounds: (4, n) west, north, east, south; grid cells, both ends belong to the box
    :ivar vertices: (n) number of vertices
    :ivar dimension: (n) 0 points, 1 lines, 2 polygons
    """

    fid: Ints
    bounds: npt.NDArray[np.int32]
    vertices: npt.NDArray[np.int32]
    dimension: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Boxes:
    """Features in Z-order of their centres, dimension by dimension.

    :ivar fid: the features' ids
    :ivar west, north, east, south: grid cells, both ends belong to the box
    :ivar vertices: number of vertices
    :ivar key: dimension (2 bits) and Z-order of the centre (60 bits)
    :ivar rank: place in the order of importance, 0 first: large before small, else as a hash has it
    """

    fid: Ints
    west: npt.NDArray[np.int32]
    north: npt.NDArray[np.int32]
    east: npt.NDArray[np.int32]
    south: npt.NDArray[np.int32]
    vertices: npt.NDArray[np.int32]
    key: Ints
    rank: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.fid)

    @cached_property
    def by_rank(self) -> npt.NDArray[np.int32]:
        """Features in the order of importance."""
        features = np.empty(len(self), np.int32)
        features[self.rank] = np.arange(len(self), dtype=np.int32)
        return features

    @cached_property
    def size(self) -> Ints:
        """Grid cells that the longer side spans, less one."""
        spans: Ints = np.maximum(self.east - self.west, self.south - self.north).astype(np.int64)
        return spans


@dataclass(frozen=True)
class Crowd:
    """Tiles of one zoom, and the features that touch each of them or its margin.

    :ivar tile, feature: pairs: index into ``x`` and ``y``, index of a feature; within a tile in Z-order
    """

    zoom: int
    x: Ints
    y: Ints
    tile: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]


def to_grid(metres: Floats) -> npt.NDArray[np.int32]:
    """Eastings, or negated northings, of EPSG:3857 as grid cells; what is beyond the square goes to its edge."""
    shares = np.clip(np.nan_to_num(metres), -HALF_WORLD_M, HALF_WORLD_M) / HALF_WORLD_M + 1
    clipped: npt.NDArray[np.int32] = np.minimum(shares * 2 ** (GRID_BITS - 1), 2**GRID_BITS - 1).astype(
        np.int32
    )
    return clipped


def interleave(x: npt.NDArray[np.int32], y: npt.NDArray[np.int32]) -> Ints:
    """Z-order of grid cells: the bits of x and y in turns."""
    spread = []
    for part in (x, y):
        bits = part.astype(np.uint64)
        for step, mask in _SPREAD:
            bits = (bits | (bits << np.uint64(step))) & np.uint64(mask)
        spread.append(bits)
    return (spread[0] | (spread[1] << np.uint64(1))).astype(np.int64)


def joined(pieces: Sequence[Outline]) -> Outline:
    """One outline of several, one or more."""
    return Outline(
        np.concatenate([piece.fid for piece in pieces]),
        np.concatenate([piece.bounds for piece in pieces], axis=1),
        np.concatenate([piece.vertices for piece in pieces]),
        np.concatenate([piece.dimension for piece in pieces]),
    )


def boxes(outline: Outline) -> Boxes:
    """Features in order."""
    fid, vertices, dimension = outline.fid, outline.vertices, outline.dimension
    west, north, east, south = outline.bounds
    centre_x = west + (east - west) // 2
    centre_y = north + (south - north) // 2
    key = (dimension.astype(np.int64) << (2 * GRID_BITS)) | interleave(centre_x, centre_y)
    order = np.argsort(key, kind="stable")
    size = np.maximum(east - west, south - north).astype(np.int64)
    chance = (fid.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    importance = ((2**GRID_BITS - size) << 31) | chance.astype(np.int64)
    rank = np.empty(len(fid), np.int32)
    rank[np.argsort(importance[order], kind="stable")] = np.arange(len(fid), dtype=np.int32)
    return Boxes(
        fid[order], west[order], north[order], east[order], south[order],
        np.minimum(vertices[order], 2**31 - 1).astype(np.int32), key[order], rank,
    )  # fmt: skip


def cell_keys(zoom: int, x: Ints, y: Ints) -> Ints:
    """Tiles as single numbers, the keys of stored tiles and pieces; the same as SQL's ``hdxjobs.cell_v1``."""
    return (np.int64(zoom) << np.int64(58)) | (x.astype(np.int64) << np.int64(29)) | y


def root(everything: Boxes) -> Crowd:
    """All features in the one tile of zoom 0."""
    count = len(everything)
    one = np.zeros(1, np.int64)
    return Crowd(0, one, one, np.zeros(count, np.int32), np.arange(count, dtype=np.int32))


def weights(crowd: Crowd, everything: Boxes, counted: Flags) -> tuple[Ints, Ints]:
    """Features and vertices in each tile, of those features that are counted."""
    mine = counted[crowd.feature]
    tile, feature = crowd.tile[mine], crowd.feature[mine]
    rows = np.bincount(tile, minlength=len(crowd.x))
    vertices = np.bincount(tile, weights=everything.vertices[feature], minlength=len(crowd.x))
    return rows, vertices.astype(np.int64)


def only(crowd: Crowd, heavy: Flags) -> Crowd:
    """The crowd of these tiles alone."""
    number = np.cumsum(heavy, dtype=np.int32) - 1
    kept = heavy[crowd.tile]
    return Crowd(
        crowd.zoom,
        crowd.x[heavy],
        crowd.y[heavy],
        number[crowd.tile[kept]].astype(np.int32),
        crowd.feature[kept],
    )


def without(crowd: Crowd, gone: Flags) -> Crowd:
    """The crowd without some features."""
    kept = ~gone[crowd.feature]
    return Crowd(crowd.zoom, crowd.x, crowd.y, crowd.tile[kept], crowd.feature[kept])


def children(crowd: Crowd, everything: Boxes) -> Crowd:
    """The four tiles below each tile: tile n has the children 4n to 4n + 3, in the order of ``quarters``."""
    zoom = crowd.zoom + 1
    x, y = quarters(crowd.x, crowd.y)
    side = 1 << (GRID_BITS - zoom)
    margin = side >> MARGIN_BITS
    west, east = everything.west[crowd.feature], everything.east[crowd.feature]
    north, south = everything.north[crowd.feature], everything.south[crowd.feature]
    middle_x = (2 * crowd.x[crowd.tile] + 1) * side
    middle_y = (2 * crowd.y[crowd.tile] + 1) * side
    reaches = (
        _meets(west, east, middle_x - side, middle_x, margin),
        _meets(west, east, middle_x, middle_x + side, margin),
        _meets(north, south, middle_y - side, middle_y, margin),
        _meets(north, south, middle_y, middle_y + side, margin),
    )
    tiles, features = [], []
    for child, (column, row) in enumerate(((0, 2), (1, 2), (0, 3), (1, 3))):
        inside = reaches[column] & reaches[row]
        tiles.append(4 * crowd.tile[inside] + np.int32(child))
        features.append(crowd.feature[inside])
    return Crowd(zoom, x, y, np.concatenate(tiles), np.concatenate(features))


def quarters(x: Ints, y: Ints) -> tuple[Ints, Ints]:
    """The tiles of the next zoom that lie in these, four each: north-west, north-east, south-west, south-east."""
    right, down = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    return (2 * x[:, None] + right).ravel(), (2 * y[:, None] + down).ravel()


def _meets(
    low: npt.NDArray[np.int32], high: npt.NDArray[np.int32], start: Ints, end: Ints, margin: int
) -> Flags:
    return (high >= start - margin) & (low < end + margin)


def walkers(everything: Boxes, budget: Budget) -> Flags:
    """Features that have to be cut into pieces.

    Their box tells too little of where they are, or they are too much to be read whole: in a heavy
    tile they span more than half its side, or have many vertices.
    """
    found = np.zeros(len(everything), bool)
    if not (everything.vertices > 1).any():
        return found
    size = everything.size
    crowd = root(everything)
    while len(crowd.x) and crowd.zoom <= budget.max_zoom:
        rows, vertices = weights(crowd, everything, ~found)
        crowd = only(crowd, (rows > budget.rows) | (vertices > budget.vertices))
        half = 1 << (GRID_BITS - crowd.zoom - 1)
        wide = (size[crowd.feature] > half) & (everything.vertices[crowd.feature] > 1)
        large = wide | (everything.vertices[crowd.feature] > budget.walk_vertices)
        found[crowd.feature[large]] = True
        crowd = children(without(crowd, found), everything)
    return found


def unit_m(zoom: int) -> float:
    """Metres of a unit of a zoom's tiles."""
    return 2 * HALF_WORLD_M / (UNITS << zoom)
