"""Crowds made thin: who is drawn in heavy tiles, and for how many; numbers only, no I/O.

Of features smaller than a cell one is drawn for all of its cell, with their number.  Cells nest, and
the order of importance is the same at each zoom: who is drawn at one zoom is drawn at the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ckanext.hdxjobs.geopreview.pyramid import GRID_BITS, Boxes, Crowd, Flags, Ints, interleave

#: Cells a tile's side that at first hold one feature each: a pixel of a tile 512 pixels wide.
FINEST_SIDE = 512
COARSEST_SIDE = 16

_PLACE = np.int64((1 << (2 * GRID_BITS)) - 1)


@dataclass(frozen=True)
class Drawn:
    """Who is drawn in the tiles of a zoom.

    :ivar side: cells a tile's side; of features smaller than a cell one a cell is drawn
    :ivar places: the tiles in Z-order's numbers
    :ivar tile, feature: pairs: index into ``places``, index of a feature; within a tile in Z-order
    :ivar amount: how many features each one stands for
    """

    zoom: int
    side: int
    places: Ints
    tile: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    amount: Ints

    @property
    def shift(self) -> int:
        """A cell's size: grid cells, as a power of two."""
        return GRID_BITS - self.zoom - (self.side.bit_length() - 1)

    def __len__(self) -> int:
        return len(self.tile)


def thin(crowd: Crowd, everything: Boxes, *, most: int) -> Drawn:
    """Who is drawn, in cells of one size for the whole zoom: the finest with which no tile draws over ``most``."""
    places = interleave(crowd.x.astype(np.int32), crowd.y.astype(np.int32))
    each = np.ones(len(crowd.tile), np.int64)
    drawn = Drawn(crowd.zoom, 2 * FINEST_SIDE, places, crowd.tile, crowd.feature, each)
    drawn = gather(drawn, everything, FINEST_SIDE)
    while drawn.side > COARSEST_SIDE and fullest(drawn) > most:
        drawn = gather(drawn, everything, drawn.side // 2)
    return drawn


def fullest(drawn: Drawn) -> int:
    """Features drawn in the tile that draws most."""
    return int(np.bincount(drawn.tile).max()) if len(drawn) else 0


def coarsened(drawn: Drawn, everything: Boxes, *, shift: int) -> Drawn:
    """The same in cells not smaller than those of the zoom below (its ``shift``), so that its crowd holds this one."""
    if drawn.shift >= shift:
        return drawn
    return gather(drawn, everything, 1 << max(GRID_BITS - drawn.zoom - shift, 0))


def gather(drawn: Drawn, everything: Boxes, side: int) -> Drawn:
    """The same in larger cells: the first in rank stands for all features smaller than their cell.

    Decided in the tile where a feature's centre lies, so that no two tiles differ over it.
    """
    shift = GRID_BITS - drawn.zoom - (side.bit_length() - 1)
    small = everything.size[drawn.feature] < (1 << shift)
    homes = (everything.key[drawn.feature] & _PLACE) >> (2 * (GRID_BITS - drawn.zoom))
    at_home = homes == drawn.places[drawn.tile]
    settled = _first_of_cells(_some(drawn, small & at_home), everything, shift)
    guests = np.flatnonzero(small & ~at_home)
    guests = guests[np.isin(homes[guests], drawn.places)]
    welcome, amount = _looked_up(settled, drawn.feature[guests])
    strangers = small & ~at_home
    strangers[guests] = False
    rest = _some(drawn, ~small | strangers)
    guests = guests[welcome]
    tile = np.concatenate([settled.tile, drawn.tile[guests], rest.tile])
    feature = np.concatenate([settled.feature, drawn.feature[guests], rest.feature])
    amounts = np.concatenate([settled.amount, amount, rest.amount])
    # Sorted runs one after the other: a stable sort only merges them.
    order = np.argsort(tile * np.int64(len(everything)) + feature, kind="stable")
    return Drawn(drawn.zoom, side, drawn.places, tile[order], feature[order], amounts[order])


def _some(drawn: Drawn, which: Flags) -> Drawn:
    return Drawn(
        drawn.zoom, drawn.side, drawn.places, drawn.tile[which], drawn.feature[which], drawn.amount[which]
    )


def _first_of_cells(drawn: Drawn, everything: Boxes, shift: int) -> Drawn:
    """Of each cell, whose features stand side by side, the first in rank."""
    if not len(drawn):
        return drawn
    starts = np.flatnonzero(_changes(everything.key[drawn.feature] >> (2 * shift)))
    feature = everything.by_rank[np.minimum.reduceat(everything.rank[drawn.feature], starts)]
    amount = np.add.reduceat(drawn.amount, starts)
    return Drawn(drawn.zoom, drawn.side, drawn.places, drawn.tile[starts], feature, amount)


def _looked_up(settled: Drawn, features: npt.NDArray[np.int32]) -> tuple[Flags, Ints]:
    """Which of these features are drawn at home, and for how many each of those stands."""
    if not len(settled):
        return np.zeros(len(features), bool), np.zeros(0, np.int64)
    order = np.argsort(settled.feature, kind="stable")
    found = np.minimum(np.searchsorted(settled.feature, features, sorter=order), len(order) - 1)
    known: Flags = settled.feature[order[found]] == features
    return known, settled.amount[order[found]][known]


def _changes(values: npt.NDArray[np.generic]) -> Flags:
    """Where a value differs from the one before; the first does."""
    flags = np.ones(len(values), bool)
    flags[1:] = values[1:] != values[:-1]
    return flags
