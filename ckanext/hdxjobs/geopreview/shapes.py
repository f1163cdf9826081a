"""Geometry on its way to the map: readable, flat, on Earth, in EPSG:3857.

Works on whole batches; no loop over features.  Order of axes is longitude,
latitude (or east, north) throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from ckanext.hdxjobs.geopreview.extent import Extent

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Metres; radius of the sphere that EPSG:3857 stands on.
RADIUS_M = 6378137.0
#: Degrees; the square world map ends at 85.0511, a little more is kept for tile margins.
MAX_LATITUDE = 85.06
#: Degrees; rounding noise of other programs that does not move a feature off the Earth.
SLACK = 0.001
SRID = 3857
#: GEOS's number of the polygon type; collections have higher ones.
POLYGON = 3

TYPE_NAMES = {
    0: "Point",
    1: "LineString",
    2: "LineString",
    3: "Polygon",
    4: "MultiPoint",
    5: "MultiLineString",
    6: "MultiPolygon",
    7: "GeometryCollection",
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


class Shapes:
    """Turns batches of WKB in a source CRS into EWKB in EPSG:3857, and keeps the books."""

    def __init__(self, crs: pyproj.CRS) -> None:
        wgs84 = pyproj.CRS("EPSG:4326")
        same = crs.equals(wgs84, ignore_axis_order=True)
        self._to_degrees = None if same else pyproj.Transformer.from_crs(crs, wgs84, always_xy=True)
        self._extent = Extent()
        self._types: set[int] = set()
        self._has_z = False
        self._drawable = 0
        self.missing = Tally()
        self.out_of_range = Tally()
        self.repaired = Tally()
        self.unreadable = Tally()

    def take(self, fids: npt.NDArray[Any], blobs: pa.Array) -> pa.Array:
        """EWKB of a batch, null where a feature has nothing to draw."""
        null: Flags = np.asarray(blobs.is_null())
        shapes = self._readable(fids, np.array(blobs.to_pylist(), dtype=object), null)
        present = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        self.missing.add(shapely.is_empty(shapes) | null, fids)
        self._has_z = self._has_z or _have_heights(shapes[present])
        places = np.flatnonzero(present)
        kept, flat = self._on_earth(fids[places], shapes[places])
        result = np.full(len(shapes), None, dtype=object)
        result[places[kept]] = shapely.to_wkb(
            shapely.set_srid(flat, SRID),
            output_dimension=2,
            byte_order=1,
            include_srid=True,
            flavor="extended",
        )
        self._types.update(np.unique(shapely.get_type_id(flat)).tolist())
        self._drawable += len(flat)
        return pa.array(result, pa.binary())

    def _readable(self, fids: npt.NDArray[Any], blobs: npt.NDArray[Any], null: Flags) -> npt.NDArray[Any]:
        """Geometries; rings that are open or too short are closed, the hopeless become ``None``."""
        shapes: npt.NDArray[Any] = shapely.from_wkb(blobs, on_invalid="ignore")
        broken = shapely.is_missing(shapes) & ~null
        if broken.any():
            shapes[broken] = shapely.from_wkb(blobs[broken], on_invalid="fix")
            self.repaired.add(broken & ~shapely.is_missing(shapes), fids)
            self.unreadable.add(broken & shapely.is_missing(shapes), fids)
        thin = _have_thin_rings(shapes)
        if thin.any():
            shapes[thin] = shapely.make_valid(shapes[thin])
            self.repaired.add(thin & ~broken, fids)
        return shapes

    def _on_earth(self, fids: npt.NDArray[Any], shapes: npt.NDArray[Any]) -> tuple[Flags, npt.NDArray[Any]]:
        """Which geometries can be on Earth, and these in EPSG:3857.

        A geometry may reach beyond the antimeridian (Fiji from 177 to 183), but
        has to touch the ordinary range of longitudes.
        """
        if not len(shapes):
            return np.zeros(0, dtype=bool), shapes
        source, owners = shapely.get_coordinates(shapes, return_index=True)
        lonlat = self._degrees(source)
        ok, home = _ranges(lonlat)
        good = np.bincount(owners, weights=~ok, minlength=len(shapes)) == 0
        good &= np.bincount(owners, weights=home, minlength=len(shapes)) > 0
        if not good.all():
            first = source[int(np.argmax(owners == np.argmin(good)))]
            self.out_of_range.add(~good, fids, hint=f" at {first[0]:.10g} {first[1]:.10g}")
        flat = shapely.set_coordinates(shapely.force_2d(shapes[good]), lonlat[good[owners]])
        self._extent.widen(_part_boxes(flat))
        return good, shapely.set_coordinates(flat, _mercator(lonlat[good[owners]]))

    def _degrees(self, source: Floats) -> Floats:
        if self._to_degrees is None:
            return source
        lon, lat = self._to_degrees.transform(source[:, 0], source[:, 1])
        return np.column_stack([lon, lat])

    def report(self) -> dict[str, Any]:
        """Counts, bounds (west, south, east, north in degrees, or None) and the type of what was kept."""
        return {
            "drawable_count": self._drawable,
            "bbox_lonlat": self._extent.bbox(),
            "geometry_type": common_type({TYPE_NAMES[number] for number in self._types}),
            "has_z": self._has_z,
            "missing": self.missing.report(),
            "out_of_range": self.out_of_range.report(),
            "repaired": self.repaired.report(),
            "unreadable": self.unreadable.report(),
        }


def _have_heights(shapes: npt.NDArray[Any]) -> bool:
    """Whether any height is worth a word: Google Earth writes a zero after each pair of coordinates."""
    solid = shapes[shapely.has_z(shapes)]
    return bool(np.any(np.nan_to_num(shapely.get_coordinates(solid, include_z=True)[:, 2])))


def _have_thin_rings(shapes: npt.NDArray[Any]) -> Flags:
    """Which geometries have a ring of fewer than four points; PostGIS takes none of these, GEOS does."""
    parts, owners = _parts(shapes)
    polygons = shapely.get_type_id(parts) == POLYGON
    rings, index = shapely.get_rings(parts[polygons], return_index=True)
    flags = np.zeros(len(shapes), dtype=bool)
    flags[owners[polygons][index[shapely.get_num_coordinates(rings) < 4]]] = True
    return flags


def _parts(shapes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Single geometries out of collections of any depth, and the index of the shape each came from."""
    owners: npt.NDArray[np.intp] = np.arange(len(shapes))
    while np.any(shapely.get_type_id(shapes) > POLYGON):
        shapes, index = shapely.get_parts(shapes, return_index=True)
        owners = owners[index]
    return shapes, owners


def _part_boxes(shapes: npt.NDArray[Any]) -> Floats:
    """(n, 4): the box of each single part; empty parts have none."""
    boxes: Floats = shapely.bounds(_parts(shapes)[0])
    filled: Floats = boxes[~np.isnan(boxes[:, 0])]
    return filled


def _ranges(lonlat: Floats) -> tuple[Flags, Flags]:
    """Per vertex: may it be part of a shape on Earth; is it in the ordinary range."""
    with np.errstate(invalid="ignore"):
        lon, lat = np.abs(lonlat[:, 0]), np.abs(lonlat[:, 1])
        level = lat <= 90 + SLACK
        return level & (lon <= 360 + SLACK), level & (lon <= 180 + SLACK)


def _mercator(lonlat: Floats) -> Floats:
    """Degrees to EPSG:3857 metres; latitudes beyond the map's edge go to the edge."""
    lat = np.radians(np.clip(lonlat[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
    return np.column_stack(
        [np.radians(lonlat[:, 0]) * RADIUS_M, np.log(np.tan(np.pi / 4 + lat / 2)) * RADIUS_M]
    )


def common_type(names: set[str]) -> str:
    """One GeoJSON type name for all, the Multi one for a type and its Multi, else "Geometry" for a mix."""
    plain = {name.removeprefix("Multi") for name in names}
    if not names:
        return "None"
    if len(names) == 1:
        return next(iter(names))
    return f"Multi{plain.pop()}" if len(plain) == 1 else "Geometry"
