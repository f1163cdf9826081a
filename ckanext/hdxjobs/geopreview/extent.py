"""The extent of a layer, also of one that lies around the antimeridian.

Fiji reaches from 177 degrees east to 178 degrees west: the plain minimum and maximum of its longitudes
are the whole globe.  Here longitudes are kept as a ring of narrow bins, so that features can be counted
one by one and the gap between the last in the east and the first in the west is still found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 3600
#: Data may be moved around the antimeridian only if it reaches this close to it from both sides, ...
NEAR_DEGREES = 170.0
#: ... and leaves at least this much of the globe empty: half of it.
EMPTY_BINS = BINS // 2


class Extent:
    """Grows by the boxes of shapes; degrees, EPSG:4326, longitude first."""

    def __init__(self) -> None:
        self._starts = np.zeros(BINS + 1, np.int64)
        self._west = np.full(BINS, np.inf)
        self._east = np.full(BINS, -np.inf)
        self._south, self._north = np.inf, -np.inf

    def widen(self, boxes: Floats) -> None:
        """Take in the boxes of single parts, (n, 4): west, south, east, north, none across the antimeridian."""
        if not len(boxes):
            return
        west, east = np.clip(boxes[:, 0], -180, 180), np.clip(boxes[:, 2], -180, 180)
        first, last = _bin(west), _bin(east)
        self._starts += np.bincount(first, minlength=BINS + 1) - np.bincount(last + 1, minlength=BINS + 1)
        np.minimum.at(self._west, first, west)
        np.maximum.at(self._east, last, east)
        self._south = min(self._south, float(boxes[:, 1].min()))
        self._north = max(self._north, float(boxes[:, 3].max()))

    def bbox(self) -> list[float] | None:
        """(west, south, east, north); west > east when the data lies around the antimeridian (RFC 7946, 5.2)."""
        covered = np.flatnonzero(np.cumsum(self._starts[:-1]) > 0)
        if not len(covered):
            return None
        west, east = float(self._west.min()), float(self._east.max())
        gaps = np.diff(covered)
        widest = int(gaps.argmax()) if len(gaps) else 0
        if west <= -NEAR_DEGREES and east >= NEAR_DEGREES and len(gaps) and gaps[widest] > EMPTY_BINS:
            west, east = float(self._west[covered[widest + 1]]), float(self._east[covered[widest]])
        south, north = np.clip([self._south, self._north], -90, 90).tolist()
        return [west, south, east, north]


def _bin(longitude: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((longitude + 180) * (BINS / 360), BINS - 1).astype(np.int64)
