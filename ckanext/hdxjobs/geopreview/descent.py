"""One zoom of the way down: what becomes of large shapes in its tiles; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ckanext.hdxjobs.geopreview import cutting, pyramid, slimming, transfer
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.pyramid import Crowd, Flags
from ckanext.hdxjobs.geopreview.transfer import Shapes


@dataclass(frozen=True)
class Fate:
    """What becomes of some of the shapes.

    :ivar kept: pieces of tiles that are not heavy, for these and all below
    :ivar drawn: as heavy tiles draw them
    :ivar below: cut to the tiles below heavy ones; none where this zoom is the last
    """

    kept: Shapes
    drawn: Shapes
    below: Parts


def step(crowd: Crowd, heavy: Flags, seen: Flags, last: bool, parts: Parts) -> Fate:
    """Parts of a zoom's tiles on their way.

    :param heavy: which of the tiles
    :param seen: which features are larger than a pixel
    :param last: nothing is cut any further
    """
    settled = parts.take(np.flatnonzero((~heavy | last)[parts.tile]))
    kept = transfer.shapes_of(settled)
    shown = parts.take(np.flatnonzero(heavy[parts.tile] & seen[parts.feature]))
    drawn = transfer.shapes_of(slimming.slim(shown, pyramid.unit_m(crowd.zoom)))
    del settled, shown
    chosen = cutting.of_tiles(parts, heavy & ~np.bool_(last))
    return Fate(kept, drawn, cutting.split(chosen, crowd.x[heavy], crowd.y[heavy], crowd.zoom))
