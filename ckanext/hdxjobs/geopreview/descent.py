"""One zoom of the way down: what becomes of large shapes in its tiles; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ckanext.hdxjobs.geopreview import cutting, listing, pyramid, slimming, transfer
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.listing import Large, Listed
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Budget, Crowd, Flags, Ints
from ckanext.hdxjobs.geopreview.transfer import Shapes


@dataclass(frozen=True)
class Zoom:
    """The tiles of a zoom on the way.

    :ivar heavy: those that are over budget
    :ivar crowded: those that list so many features that the tiles below get lists of their own
    :ivar pieces: in how many pieces the large shapes lie, or lists name them
    :ivar longest: features that a tile lists at most
    """

    crowd: Crowd
    heavy: Flags
    crowded: Flags
    pieces: int
    longest: int

    @property
    def keys(self) -> Ints:
        """The tiles' numbers."""
        return pyramid.cell_keys(self.crowd.zoom, self.crowd.x, self.crowd.y)

    @property
    def keys_below(self) -> Ints:
        """The numbers of the four tiles below each."""
        return pyramid.cell_keys(self.crowd.zoom + 1, *pyramid.quarters(self.crowd.x, self.crowd.y))


@dataclass(frozen=True)
class Fate:
    """What becomes of some of the shapes.

    :ivar kept: pieces or lists of tiles that are not heavy, for these and all below
    :ivar finer: lists of the tiles below crowded ones
    :ivar drawn: as heavy tiles draw them
    :ivar below: cut to the tiles below heavy ones; none where this zoom is the last
    """

    kept: Shapes | Listed
    finer: Listed
    drawn: Shapes | Listed
    below: Parts


def weighed(crowd: Crowd, boxes: Boxes, large: Large, parts: Sequence[Parts], budget: Budget) -> Zoom:
    """A zoom's tiles, and which of them are heavy.

    :param parts: of the large features; each has only such as tiles list, or none
    """
    rows, vertices = pyramid.weights(crowd, boxes, ~large.walk)
    pieces, lengths = 0, np.zeros(len(crowd.x), np.int64)
    for part in parts:
        if _is_listed(part, large.listed):
            part_rows, part_vertices = listing.loads(part, boxes, len(crowd.x))
            lengths += part_rows
        else:
            part_rows, part_vertices = cutting.loads(part, len(crowd.x))
        rows, vertices = rows + part_rows, vertices + part_vertices
        pieces += int(part_rows.sum())
    heavy = (rows > budget.rows) | (vertices > budget.vertices)
    return Zoom(crowd, heavy, lengths > listing.FEW, pieces, int(lengths.max(initial=0)))


def step(zoom: Zoom, seen: Flags, listed: Flags, last: bool, parts: Parts) -> Fate:
    """Parts of a zoom's tiles on their way: all of features that tiles list, or none of them.

    :param seen: which features are larger than a pixel
    :param listed: which features tiles list
    :param last: nothing is cut any further
    """
    crowd, heavy = zoom.crowd, zoom.heavy
    settled = parts.take(np.flatnonzero((~heavy | last)[parts.tile]))
    shown = parts.take(np.flatnonzero(heavy[parts.tile] & seen[parts.feature]))
    kept: Shapes | Listed
    drawn: Shapes | Listed
    if _is_listed(parts, listed):
        kept, drawn = listing.of(settled), listing.of(shown)
        settled = settled.take(np.flatnonzero(zoom.crowded[settled.tile]))
        finer = listing.of(cutting.split(settled, crowd.x, crowd.y, crowd.zoom))
    else:
        kept, finer = transfer.shapes_of(settled), listing.NOTHING
        drawn = transfer.shapes_of(slimming.slim(shown, pyramid.unit_m(crowd.zoom)))
    del settled, shown
    chosen = cutting.of_tiles(parts, heavy & ~np.bool_(last))
    below = cutting.split(chosen, crowd.x[heavy], crowd.y[heavy], crowd.zoom)
    return Fate(kept, finer, drawn, below)


def _is_listed(parts: Parts, listed: Flags) -> bool:
    return bool(len(parts) and listed[parts.feature[0]])
