"""The CRS of a layer: the one it states, WGS 84 where its numbers look like degrees, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyproj

#: Degrees by which bounds may overshoot and still look like longitudes and latitudes.
DEGREE_SLACK = 0.001


class SourceCrs:
    """The CRS of a layer.

    :ivar label: authority code such as "EPSG:32637", or the CRS's own name
    :ivar assumed: the file names none, and its numbers look like degrees
    """

    def __init__(self, crs: pyproj.CRS, *, assumed: bool = False) -> None:
        authority = crs.to_authority(min_confidence=70)
        self.crs = crs
        self.label = ":".join(authority) if authority else crs.name
        self.assumed = assumed


def source_crs(stated: str | None, bounds: Callable[[], Sequence[float] | None]) -> SourceCrs | None:
    """The CRS a layer states, WGS 84 where it states none and its bounds are degrees, else ``None``.

    :param stated: authority code or WKT
    :param bounds: (west, south, east, north) of the layer's own coordinates; asked only when they decide
    """
    if stated:
        try:
            crs = pyproj.CRS.from_user_input(stated)
            pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        except pyproj.exceptions.ProjError:
            pass
        else:
            return SourceCrs(crs)
    found = bounds()
    return SourceCrs(pyproj.CRS("EPSG:4326"), assumed=True) if _are_degrees(found) else None


def _are_degrees(bounds: Sequence[float] | None) -> bool:
    """Whether bounds can be longitudes and latitudes; those of nothing can."""
    if bounds is None or not np.all(np.isfinite(bounds)):
        return True
    west, south, east, north = bounds
    return (
        max(abs(west), abs(east)) <= 180 + DEGREE_SLACK and max(abs(south), abs(north)) <= 90 + DEGREE_SLACK
    )
