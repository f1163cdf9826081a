"""The books of a pass over geometry: what was drawn, what was mended, what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ckanext.hdxjobs.geopreview import wkb
from ckanext.hdxjobs.geopreview.extent import Extent
from ckanext.hdxjobs.geopreview.wkb import Flags, Floats, Ints

#: Degrees; the square world map ends at 85.0511, a little more is kept for tile margins.
MAX_LATITUDE = 85.06

TYPE_NAMES = {
    wkb.POINT: "Point",
    wkb.LINE: "LineString",
    wkb.POLYGON: "Polygon",
    wkb.MULTIPOINT: "MultiPoint",
    wkb.MULTILINE: "MultiLineString",
    wkb.MULTIPOLYGON: "MultiPolygon",
    wkb.COLLECTION: "GeometryCollection",
}


class Tally:
    """How many features something happened to, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.example = ""

    def add(self, flags: Flags, fids: npt.NDArray[Any], hint: str = "") -> None:
        """Count the features whose flag is set."""
        found = int(np.count_nonzero(flags))
        if found and not self.count:
            self.example = f"feature {fids[int(np.argmax(flags))]}{hint}"
        self.count += found

    def report(self) -> dict[str, Any]:
        return {"count": self.count, "example": self.example}


class Books:
    """What is known of a layer's geometry after the batches so far.

    :ivar types: numbers of the types that are drawn, as in ``TYPE_NAMES``
    :ivar has_z: there was a height or a measure other than zero
    """

    def __init__(self) -> None:
        self._extent = Extent()
        self._drawable = 0
        self._vertices = 0
        self.types: set[int] = set()
        self.has_z = False
        self.missing = Tally()
        self.out_of_range = Tally()
        self.parts_out_of_range = Tally()
        self.repaired = Tally()
        self.replaced = Tally()
        self.beyond_map = Tally()
        self.unreadable = Tally()

    def enter(self, fids: npt.NDArray[Any], owners: Ints, boxes: Floats, vertices: int) -> None:
        """Count features that are drawn.

        :param fids: of the whole batch
        :param owners: (m) index of the feature whose part each box is
        :param boxes: (m, 4) west, south, east, north; degrees, none across the antimeridian
        """
        if not len(boxes):
            return
        self._extent.widen(boxes)
        self._vertices += vertices
        drawn = np.bincount(owners, minlength=len(fids))
        self._drawable += int(np.count_nonzero(drawn))
        beyond = (boxes[:, 1] > MAX_LATITUDE) | (boxes[:, 3] < -MAX_LATITUDE)
        if beyond.any():
            self.beyond_map.add(
                (drawn > 0) & (np.bincount(owners[beyond], minlength=len(fids)) == drawn), fids
            )

    def report(self) -> dict[str, Any]:
        """Counts, bounds (west, south, east, north in degrees, or None) and the type of what was kept."""
        return {
            "drawable_count": self._drawable,
            "vertex_count": self._vertices,
            "bbox_lonlat": self._extent.bbox(),
            "geometry_type": common_type({TYPE_NAMES[number] for number in self.types}),
            "has_z": self.has_z,
            "missing": self.missing.report(),
            "out_of_range": self.out_of_range.report(),
            "parts_out_of_range": self.parts_out_of_range.report(),
            "repaired": self.repaired.report(),
            "replaced": self.replaced.report(),
            "beyond_map": self.beyond_map.report(),
            "unreadable": self.unreadable.report(),
        }


def common_type(names: set[str]) -> str:
    """One GeoJSON type name for all, the Multi one for a type and its Multi, else "Geometry" for a mix."""
    plain = {name.removeprefix("Multi") for name in names}
    if not names:
        return "None"
    if len(names) == 1:
        return next(iter(names))
    return f"Multi{plain.pop()}" if len(plain) == 1 else "Geometry"
