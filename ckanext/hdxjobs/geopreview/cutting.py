"""Large shapes cut along the tile grid, all at once: coordinates only, no I/O.

A polygon is cut ring by ring against one straight line after the other
(Sutherland-Hodgman); a line falls into parts.  Works on whatever rings there are,
valid or not, in linear time, and a border that two shapes share is cut alike in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from ckanext.hdxjobs.geopreview.pyramid import HALF_WORLD_M, Flags, Floats, Ints, quarters

#: Part of a tile's side that a piece reaches beyond the tile: twice what is drawn, so that no cut is seen.
MARGIN = 1 / 32


class Kind(IntEnum):
    """What the vertices of a part are; the numbers are the dimensions."""

    POINT = 0
    LINE = 1
    RING = 2


#: Fewest vertices of a part that draws anything.
FEWEST = {Kind.POINT: 1, Kind.LINE: 2, Kind.RING: 4}


@dataclass(frozen=True)
class Parts:
    """Points, lines or rings laid end to end, each belonging to a feature and a tile.

    :ivar xy: (n, 2) metres, EPSG:3857; rings are closed
    :ivar starts: (m + 1) where each part begins, and the end
    :ivar feature: (m) index of the feature
    :ivar ring: (m) number of the part in the whole layer; a polygon's shell comes before its holes
    :ivar shell: (m) the number of the polygon's shell; the part's own for points and lines
    :ivar tile: (m) index of the tile
    :ivar box: (m, 4) metres; west, south, east and north of each part
    """

    kind: Kind
    xy: Floats
    starts: Ints
    feature: Ints
    ring: Ints
    shell: Ints
    tile: Ints
    box: Floats

    def __len__(self) -> int:
        return len(self.feature)

    @property
    def lengths(self) -> Ints:
        """Vertices of each part."""
        return np.diff(self.starts)

    def take(self, which: Ints) -> Parts:
        """Some of the parts, in this order."""
        if len(which) == len(self) and bool((np.diff(which) > 0).all()):
            return self
        lengths = self.lengths[which]
        starts = offsets(lengths)
        step = np.arange(starts[-1])
        xy = self.xy.take(step + np.repeat(self.starts[:-1][which] - starts[:-1], lengths), axis=0)
        return Parts(
            self.kind, xy, starts, self.feature[which], self.ring[which], self.shell[which], self.tile[which],
            self.box[which],
        )  # fmt: skip


def offsets(lengths: Ints) -> Ints:
    """Where parts of these lengths begin when laid end to end, and the end."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def boxes(xy: Floats, starts: Ints) -> Floats:
    """(m, 4): west, south, east, north of parts laid end to end, none of them empty."""
    if len(starts) == 1:
        return np.zeros((0, 4))
    x, y, firsts = xy[:, 0], xy[:, 1], starts[:-1]
    return np.column_stack(
        [
            *(np.minimum.reduceat(x, firsts), np.minimum.reduceat(y, firsts)),
            *(np.maximum.reduceat(x, firsts), np.maximum.reduceat(y, firsts)),
        ]
    )


def joined(pieces: list[Parts]) -> Parts:
    """Several of one kind as one."""
    return Parts(
        pieces[0].kind,
        np.concatenate([part.xy for part in pieces]),
        offsets(np.concatenate([part.lengths for part in pieces])),
        np.concatenate([part.feature for part in pieces]),
        np.concatenate([part.ring for part in pieces]),
        np.concatenate([part.shell for part in pieces]),
        np.concatenate([part.tile for part in pieces]),
        np.concatenate([part.box for part in pieces]),
    )


def cut(parts: Parts, *, axis: int, limits: Floats, below: bool) -> Parts:
    """What lies on one side of a line across ``axis``; each part has a line of its own.

    :param limits: (m) metres; where the lines are
    :param below: keep the side of smaller coordinates, else of larger ones
    """
    low, high = parts.box[:, axis], parts.box[:, axis + 2]
    whole = high <= limits if below else low >= limits
    gone = low > limits if below else high < limits
    if whole.all():
        return parts
    crossing = ~(whole | gone)
    kept = parts.take(np.flatnonzero(whole))
    if not crossing.any():
        return kept
    rest = parts.take(np.flatnonzero(crossing))
    return joined([kept, _cut_across(rest, axis, limits[crossing], below)])


def _cut_across(parts: Parts, axis: int, limits: Floats, below: bool) -> Parts:
    limit = np.repeat(limits, parts.lengths)
    values = parts.xy[:, axis]
    inside = values <= limit if below else values >= limit
    if parts.kind is Kind.POINT:
        return parts.take(np.flatnonzero(inside))
    ahead = np.append(inside[1:], False)
    last = np.zeros(len(inside), bool)
    last[parts.starts[1:] - 1] = True
    leaves = np.flatnonzero((inside != ahead) & ~last)
    crossing = _crossings(parts.xy, leaves, axis, limit)
    written = inside.astype(np.int64)
    written[leaves] += 1
    at = offsets(written)
    out = np.empty((at[-1], 2))
    out[at[:-1][inside]] = parts.xy[inside]
    spots = at[leaves] + inside[leaves]
    out[spots] = crossing
    if parts.kind is Kind.RING:
        return _closed(replace(parts, xy=out, starts=at[parts.starts]), inside[parts.starts[:-1]])
    enters = ~inside[leaves]
    first = parts.starts[:-1]
    begins = np.concatenate([spots[enters], at[first[inside[first]]]])
    owner = np.repeat(np.arange(len(parts)), parts.lengths)
    whose = np.concatenate([owner[leaves[enters]], owner[first[inside[first]]]])
    order = np.argsort(begins, kind="stable")
    whose, starts = whose[order], np.append(begins[order], len(out))
    return Parts(
        parts.kind, out, starts, parts.feature[whose], parts.ring[whose], parts.shell[whose],
        parts.tile[whose], boxes(out, starts),
    )  # fmt: skip


def _crossings(xy: Floats, edges: Ints, axis: int, limit: Floats) -> Floats:
    """Where edges meet their line.  Counted from the lower end: the same point whichever way the edge runs."""
    a, b = xy[edges], xy[edges + 1]
    turned = a[:, axis] > b[:, axis]
    a, b = np.where(turned[:, None], b, a), np.where(turned[:, None], a, b)
    share = (limit[edges] - a[:, axis]) / (b[:, axis] - a[:, axis])
    points = a + (b - a) * share[:, None]
    points[:, axis] = limit[edges]
    return points


def _closed(parts: Parts, started_inside: Flags) -> Parts:
    """Rings whose first vertex was cut off get their new first vertex at the end once more."""
    lengths = parts.lengths
    open_ = ~started_inside & (lengths > 0)
    starts = offsets(lengths + open_)
    out = np.empty((starts[-1], 2))
    step = np.arange(len(parts.xy))
    out[step + np.repeat(starts[:-1] - parts.starts[:-1], lengths)] = parts.xy
    out[starts[1:][open_] - 1] = parts.xy[parts.starts[:-1][open_]]
    result = replace(parts, xy=out, starts=starts)
    result = result.take(np.flatnonzero(result.lengths >= FEWEST[Kind.RING]))
    return replace(result, box=boxes(result.xy, result.starts))


def tile_edges(x: Ints, y: Ints, zoom: int) -> tuple[Floats, Floats, Floats, Floats]:
    """West, south, east, north of tiles with their margin; metres, EPSG:3857."""
    side = 2 * HALF_WORLD_M / 2**zoom
    margin = side * MARGIN
    west, north = x * side - HALF_WORLD_M, HALF_WORLD_M - y * side
    return west - margin, north - side - margin, west + side + margin, north + margin


def cut_to_tiles(parts: Parts, x: Ints, y: Ints, zoom: int) -> Parts:
    """What of each part lies in its tile or the tile's margin."""
    west, south, east, north = tile_edges(x, y, zoom)
    for axis, lower, upper in ((0, west, east), (1, south, north)):
        parts = cut(parts, axis=axis, limits=upper[parts.tile], below=True)
        parts = cut(parts, axis=axis, limits=lower[parts.tile], below=False)
    return parts


def split(parts: Parts, x: Ints, y: Ints, zoom: int) -> Parts:
    """Parts of tiles cut to the tiles' children, numbered as ``pyramid.children`` does.

    :param x, y, zoom: the tiles that hold the parts now
    """
    child_x, child_y = quarters(x, y)
    west, south, east, north = tile_edges(child_x, child_y, zoom + 1)
    children = 4 * parts.tile[:, None] + np.arange(4)
    low_x, low_y, high_x, high_y = (side[:, None] for side in parts.box.T)
    touched = (high_x >= west[children]) & (low_x <= east[children])
    touched &= (high_y >= south[children]) & (low_y <= north[children])
    within = (low_x >= west[children]) & (high_x <= east[children])
    within &= (low_y >= south[children]) & (high_y <= north[children])
    # Nearly all parts lie within each child that they touch: nothing of them has to be looked at.
    settled = (within == touched).all(axis=1)
    place, child = np.nonzero(within & settled[:, None])
    pieces = [replace(parts.take(place), tile=children[place, child])]
    rest = parts.take(np.flatnonzero(~settled))
    for column in (0, 1):
        half = replace(rest, tile=4 * rest.tile + column)
        half = cut(half, axis=0, limits=east[half.tile], below=True)
        half = cut(half, axis=0, limits=west[half.tile], below=False)
        for row in (0, 2):
            quarter = replace(half, tile=half.tile + row)
            quarter = cut(quarter, axis=1, limits=north[quarter.tile], below=True)
            pieces.append(cut(quarter, axis=1, limits=south[quarter.tile], below=False))
    return joined(pieces)


def loads(parts: Parts, tiles: int) -> tuple[Ints, Ints]:
    """Features and vertices in each of the tiles."""
    vertices = np.bincount(parts.tile, weights=parts.lengths, minlength=tiles).astype(np.int64)
    return np.bincount(pairs(parts)[0], minlength=tiles), vertices


def pairs(parts: Parts) -> tuple[Ints, Ints]:
    """Tile and feature of the parts, each pair once, in order."""
    found = np.unique((parts.tile << 32) | parts.feature)
    return found >> 32, found & (2**32 - 1)


def of_tiles(parts: Parts, wanted: Flags) -> Parts:
    """The parts of some tiles, which are numbered anew."""
    number = np.cumsum(wanted) - 1
    chosen = parts.take(np.flatnonzero(wanted[parts.tile]))
    return replace(chosen, tile=number[chosen.tile])


def ordered(parts: Parts) -> Parts:
    """Parts by tile, feature and number; holes without their shell are left out."""
    order = np.lexsort((parts.ring, parts.feature, parts.tile))
    parts = parts.take(order)
    if parts.kind is not Kind.RING or not len(parts):
        return parts
    new = np.ones(len(parts), bool)
    new[1:] = (parts.shell[1:] != parts.shell[:-1]) | (parts.tile[1:] != parts.tile[:-1])
    first = np.maximum.accumulate(np.where(new, np.arange(len(parts)), 0))
    return parts.take(np.flatnonzero(parts.ring[first] == parts.shell))
