"""The CRS of a layer: the one it states, WGS 84 where its numbers look like degrees, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyproj

#: Degrees by which bounds may overshoot and still look like longitudes and latitudes.
DEGREE_SLACK = 0.001


#: What programs call the CRS of data that has none.
NAMELESS = frozenset({"", "unknown", "unnamed", "undefined", "undefined srs", "undefined cartesian srs"})


class SourceCrs:
    """The CRS of a layer.

    :ivar label: authority code such as "EPSG:32637", or the CRS's own name, or what kind it is
    :ivar assumed: the file names none, and its numbers look like degrees
    """

    def __init__(self, crs: pyproj.CRS, *, assumed: bool = False) -> None:
        self.crs = crs
        self.label = _label(crs)
        self.assumed = assumed


def source_crs(stated: str | None, bounds: Callable[[], Sequence[float] | None]) -> SourceCrs | None:
    """The CRS a layer states, WGS 84 where it states none and its bounds are degrees, else ``None``.

    A local grid (of a building site, a mine) is a CRS that is stated but has no place on Earth: none.

    :param stated: authority code or WKT
    :param bounds: (west, south, east, north) of the layer's own coordinates; asked only when they decide
    """
    crs = _readable(stated)
    if crs is not None:
        return SourceCrs(crs) if _is_on_earth(crs) else None
    return SourceCrs(pyproj.CRS("EPSG:4326"), assumed=True) if _are_degrees(bounds()) else None


def _readable(stated: str | None) -> pyproj.CRS | None:
    try:
        crs = pyproj.CRS.from_user_input(stated) if stated else None
    except pyproj.exceptions.ProjError:
        return None
    nameless = crs is not None and crs.is_engineering and crs.name.lower() in NAMELESS
    return None if nameless else crs


def _is_on_earth(crs: pyproj.CRS) -> bool:
    """Whether two ordinates are a place: not so heights alone, local grids and metres from the Earth's centre."""
    if not (crs.is_geographic or crs.is_projected):
        return False
    try:
        pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:
        return False
    return True


def _label(crs: pyproj.CRS) -> str:
    authority = crs.to_authority(min_confidence=70)
    if authority:
        return ":".join(authority)
    if crs.name.lower() not in NAMELESS:
        return str(crs.name)
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    return f"{crs.type_name} ({method})" if method else str(crs.type_name)


def _are_degrees(bounds: Sequence[float] | None) -> bool:
    """Whether bounds can be longitudes and latitudes; those of nothing can."""
    if bounds is None or not np.all(np.isfinite(bounds)):
        return True
    west, south, east, north = bounds
    return (
        max(abs(west), abs(east)) <= 180 + DEGREE_SLACK and max(abs(south), abs(north)) <= 90 + DEGREE_SLACK
    )
