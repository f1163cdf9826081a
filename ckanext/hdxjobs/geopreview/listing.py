"""Large shapes of few vertices: they are not cut, tiles list them.  No I/O.

A route across the world touches thousands of tiles, and all of it is two vertices: its part in a tile is no
cheaper to read than the whole, which is there already.  What a tile needs to know is which ones to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ckanext.hdxjobs.geopreview import cutting
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Budget, Flags, Ints

#: Features of a list up to which the tiles below do well with it.
FEW = 1_000
#: An array of bigint in binary COPY: dimensions, no nulls, the type's number; length and first index.
_HEAD = np.dtype([(name, ">i4") for name in ("dimensions", "nulls", "type", "length", "first")])
_NUMBER = np.dtype([("bytes", ">i4"), ("value", ">i8")])
_BIGINT = 20


@dataclass(frozen=True)
class Listed:
    """Features that tiles list; pairs, in the order of tiles."""

    tile: Ints
    feature: Ints

    def __len__(self) -> int:
        return len(self.tile)

    def take(self, pairs: Ints) -> Listed:
        """Some of the pairs."""
        return Listed(self.tile[pairs], self.feature[pairs])

    def arrays(self, fid: Ints) -> tuple[Ints, npt.NDArray[Any]]:
        """Tiles, and the list of each as binary COPY has it.

        :param fid: ids of all features
        """
        tiles, starts = np.unique(self.tile, return_index=True)
        return tiles, _arrays(fid[self.feature], np.append(starts, len(self)))


NOTHING = Listed(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Large:
    """Which features are large.

    :ivar walk: all that are
    :ivar listed: those that tiles list; the others are cut
    """

    walk: Flags
    listed: Flags


def of(parts: Parts) -> Listed:
    """Whose parts they are, in which tiles."""
    return Listed(*cutting.pairs(parts))


def joined(several: Sequence[Listed]) -> Listed:
    """One of several of different features: a tile has one list."""
    tile, feature = (np.concatenate([getattr(one, name) for one in several]) for name in ("tile", "feature"))
    order = np.lexsort((feature, tile))
    return Listed(tile[order], feature[order])


def short(parts: Sequence[Parts], boxes: Boxes, budget: Budget) -> Flags:
    """Which features are listed.  Those of several kinds are drawn kind by kind, and so they are cut."""
    kinds = np.zeros(len(boxes), np.int64)
    for found in parts:
        kinds[np.unique(found.feature)] |= 1 << found.kind
    flags: Flags = (boxes.vertices <= budget.short_vertices) & np.isin(kinds, (1, 2, 4))
    return flags


def apart(parts: Sequence[Parts], listed: Flags) -> list[Parts]:
    """The parts of features that are listed apart from those of others."""
    halves = [
        found.take(np.flatnonzero(listed[found.feature] == side)) for found in parts for side in (False, True)
    ]
    return [half for half in halves if len(half)]


def loads(parts: Parts, boxes: Boxes, tiles: int) -> tuple[Ints, Ints]:
    """Features and vertices that are read in each of the tiles."""
    tile, feature = cutting.pairs(parts)
    vertices = np.bincount(tile, weights=boxes.vertices[feature], minlength=tiles).astype(np.int64)
    return np.bincount(tile, minlength=tiles), vertices


def _arrays(numbers: Ints, starts: Ints) -> npt.NDArray[Any]:
    """(n) arrays of bigint as PostgreSQL reads them, each from its start to the next."""
    cells = np.empty(len(numbers), _NUMBER)
    cells["bytes"], cells["value"] = _NUMBER["value"].itemsize, numbers
    heads = np.empty(len(starts) - 1, _HEAD)
    for name, value in zip(_HEAD.names or (), (1, 0, _BIGINT, np.diff(starts), 1), strict=True):
        heads[name] = value
    found = np.empty(len(heads), object)
    for number, head in enumerate(heads):
        found[number] = head.tobytes() + cells[starts[number] : starts[number + 1]].tobytes()
    return found
