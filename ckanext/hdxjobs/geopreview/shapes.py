"""Geometry on its way to the map: readable, flat, on Earth, in EPSG:3857.

Works on whole batches.  What is laid out and placed as it should be, nearly everything, never becomes an
object: its coordinates are read from the batch's bytes and written into new ones.  The rest, and only
that, goes through GEOS: ``mending`` and ``seam``.  Order of axes is longitude, latitude (or east, north)
throughout.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from ckanext.hdxjobs.geopreview import mending, overlaps, seam, wkb
from ckanext.hdxjobs.geopreview.books import MAX_LATITUDE, Books
from ckanext.hdxjobs.geopreview.ewkb import encode
from ckanext.hdxjobs.geopreview.wkb import Blobs, Codes, Flags, Floats, Ints, Runs

#: Metres; radius of the sphere that EPSG:3857 stands on.
RADIUS_M = 6378137.0
#: Degrees; rounding noise of other programs that does not move a feature off the Earth.
SLACK = 0.001
#: Degrees; data that counts from 0 to 360 is moved, what reaches further is no longitude.
MAX_LONGITUDE = 360
SRID = 3857
#: Bytes of well-known binary that are worked on together; several times as many are needed for it.
SLICE_BYTES = 32 * 1024**2


class Shapes:
    """Turns batches of WKB in a source CRS into EWKB in EPSG:3857, and keeps the books."""

    def __init__(self, crs: pyproj.CRS) -> None:
        wgs84 = pyproj.CRS("EPSG:4326")
        same = crs.equals(wgs84, ignore_axis_order=True)
        self._to_degrees = None if same else pyproj.Transformer.from_crs(crs, wgs84, always_xy=True)
        self._books = Books()
        self._uniter = overlaps.Uniter()

    def take(self, fids: npt.NDArray[Any], blobs: pa.Array) -> pa.Array:
        """EWKB of a batch, null where a feature has nothing to draw."""
        pieces = [
            self._take(fids[first:end], blobs.slice(first, end - first)) for first, end in _slices(blobs)
        ]
        return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)

    def _take(self, fids: npt.NDArray[Any], blobs: pa.Array) -> pa.Array:
        null: Flags = np.asarray(blobs.is_null())
        self._books.missing.add(null, fids)
        read = Blobs(blobs)
        codes = read.codes()
        plain = self._plain(fids, read, codes)
        odd = np.flatnonzero(np.asarray(plain.is_null()) & ~null)
        if not len(odd):
            return plain
        objects = blobs.take(pa.array(odd)).to_numpy(zero_copy_only=False)
        mended = self._odd(fids[odd], objects, codes.take(odd))
        places = np.arange(len(blobs))
        places[odd] = len(blobs) + np.arange(len(odd))
        return pa.concat_arrays([plain, pa.array(mended, pa.binary())]).take(pa.array(places))

    def _plain(self, fids: npt.NDArray[Any], blobs: Blobs, codes: Codes) -> pa.Array:
        """EWKB of the shapes that need nothing but another CRS, null for all others."""
        runs = blobs.runs(codes)
        spots = wkb.spread(runs.start, runs.length, codes.stride[runs.feature])
        source = np.column_stack([blobs.ordinates(spots), blobs.ordinates(spots + 8)])
        lonlat = self._degrees(source)
        good = _in_order(runs, codes.base[runs.feature], source, lonlat)
        runs, lonlat, spots = _without(runs.feature[~good], runs, lonlat, spots)
        boxes = _run_boxes(runs, lonlat)
        suspects = overlaps.suspects(runs.feature, runs.length, boxes, shells=runs.rings > 0)
        if len(suspects):
            runs, lonlat, spots = _without(suspects, runs, lonlat, spots)
            boxes = _run_boxes(runs, lonlat)
        for behind in (wkb.PAIR, wkb.PAIR + 8):
            deep = np.repeat((codes.stride > behind)[runs.feature], runs.length)
            if not self._books.has_z and deep.any():
                self._books.has_z = bool(np.any(np.nan_to_num(blobs.ordinates(spots[deep] + behind))))
        self._books.enter(fids, runs.feature, boxes, len(lonlat))
        self._books.types.update(np.unique(codes.base[runs.feature]).tolist())
        return encode(codes.base, runs, _mercator(lonlat), srid=SRID)

    def _odd(self, fids: npt.NDArray[Any], blobs: npt.NDArray[Any], codes: Codes) -> npt.NDArray[Any]:
        """EWKB, or None, of shapes that are broken, empty, curved, around the antimeridian or off the Earth."""
        read = mending.read(blobs, codes)
        self._books.has_z |= read.heights
        unreadable = shapely.is_missing(read.shapes)
        several = shapely.get_type_id(read.shapes) > mending.POLYGON
        singles, owners = mending.parts(read.shapes[~unreadable], np.flatnonzero(~unreadable))
        empty = shapely.is_empty(singles)
        filled = np.bincount(owners[~empty], minlength=len(fids)) > 0
        hollow = np.bincount(owners[empty], minlength=len(fids)) > 0
        singles, owners = self._on_earth(fids, singles[~empty], owners[~empty])
        self._books.enter(
            fids, owners, shapely.bounds(singles), int(shapely.get_num_coordinates(singles).sum())
        )
        whole = mending.together(_flat(singles), owners, several)
        united = self._uniter.unite(whole)
        drawn = ~shapely.is_missing(whole)
        self._books.unreadable.add(unreadable, fids)
        self._books.missing.add(~unreadable & ~filled, fids)
        self._books.replaced.add(read.replaced & drawn, fids)
        self._books.repaired.add((read.repaired | hollow | united) & drawn & ~read.replaced, fids)
        self._books.types.update(_types(whole[drawn]))
        return shapely.to_wkb(
            shapely.set_srid(whole, SRID),
            output_dimension=2,
            byte_order=1,
            include_srid=True,
            flavor="extended",
        )

    def _on_earth(
        self, fids: npt.NDArray[Any], singles: npt.NDArray[Any], owners: Ints
    ) -> tuple[npt.NDArray[Any], Ints]:
        """The parts that can be on Earth, in degrees, between -180 and 180, and whose they are."""
        source, index = shapely.get_coordinates(singles, return_index=True)
        lonlat = self._degrees(source)
        possible = _possible(lonlat)
        good = np.bincount(index[~possible], minlength=len(singles)) == 0
        kept = np.bincount(owners[good], minlength=len(fids)) > 0
        lost = np.bincount(owners[~good], minlength=len(fids)) > 0
        gone = lost & ~kept
        if gone.any():
            worst = source[int(np.argmax(~possible & gone[owners[index]]))]
            self._books.out_of_range.add(gone, fids, hint=f" at {worst[0]:.10g} {worst[1]:.10g}")
        self._books.parts_out_of_range.add(lost & kept, fids)
        return self._in_world(singles[good], owners[good], lonlat[good[index]])

    def _in_world(
        self, singles: npt.NDArray[Any], owners: Ints, lonlat: Floats
    ) -> tuple[npt.NDArray[Any], Ints]:
        """Parts in degrees, those around the antimeridian or a pole cut; and whose they are.

        :param singles: in the source's CRS
        :param lonlat: (n, 2) degrees; the vertices of all parts
        """
        lengths = shapely.get_num_coordinates(singles)
        starts = np.cumsum(lengths) - lengths
        if not len(starts):
            return singles, owners
        lon = lonlat[:, 0]
        first, last = seam.worlds(np.minimum.reduceat(lon, starts), np.maximum.reduceat(lon, starts))
        folded = last > first
        folded[_jumping(lon, np.cumsum(lengths))] = True
        if first.any() or (np.abs(lonlat).max(axis=0) > [180, 90]).any():
            lonlat = lonlat - np.outer(np.repeat(first, lengths), [360, 0])
            lonlat = np.clip(lonlat, [-180, -90], [180, 90])
        placed = shapely.set_coordinates(shapely.force_2d(singles), lonlat)
        if not folded.any():
            return placed, owners
        pieces = [seam.within_world(single, self._clipped_degrees) for single in singles[folded]]
        amounts = [len(piece) for piece in pieces]
        cut = np.array([part for piece in pieces for part in piece], dtype=object)
        return (
            np.concatenate([placed[~folded], cut]),
            np.concatenate([owners[~folded], np.repeat(owners[folded], amounts)]),
        )

    def _clipped_degrees(self, source: Floats) -> Floats:
        return np.clip(self._degrees(source), [-np.inf, -90], [np.inf, 90])

    def _degrees(self, source: Floats) -> Floats:
        if self._to_degrees is None:
            return source
        lon, lat = self._to_degrees.transform(source[:, 0], source[:, 1])
        return np.column_stack([lon, lat])

    def report(self) -> dict[str, Any]:
        """See ``Books.report``."""
        return self._books.report()


def _slices(blobs: pa.Array) -> list[tuple[int, int]]:
    """Rows that are worked on together: the first, and the one after the last."""
    part = Blobs(blobs).end // SLICE_BYTES
    ends = [*(np.flatnonzero(np.diff(part)) + 1).tolist(), len(blobs)]
    return list(pairwise([0, *ends]))


def bounds(blobs: pa.Array) -> npt.NDArray[np.float64]:
    """(west, south, east, north) in the source's own CRS; not a number where nothing can be read."""
    there = blobs.drop_null()
    read = mending.read(there.to_numpy(zero_copy_only=False), Blobs(there).codes())
    found: npt.NDArray[np.float64] = shapely.total_bounds(read.shapes)
    return found


def _in_order(runs: Runs, base: Ints, source: Floats, lonlat: Floats) -> Flags:
    """Which runs are whole and plain: between -180 and 180 without a jump, long enough, rings closed.

    :param base: (runs) types of the shapes
    :param source: (vertices, 2) in the source's CRS; as ``lonlat`` in degrees
    """
    good = runs.length >= np.where(base == wkb.POINT, 1, 2)
    good |= base == wkb.MULTIPOINT
    ends = np.cumsum(runs.length)
    lon, lat = lonlat[:, 0], lonlat[:, 1]
    with np.errstate(invalid="ignore"):
        outside = np.flatnonzero(~((np.abs(lon) <= 180) & (np.abs(lat) <= 90)))
    good[np.searchsorted(ends, outside, "right")] = False
    good[_jumping(lon, ends)] = False
    ring = np.flatnonzero((base == wkb.POLYGON) | (base == wkb.MULTIPOLYGON))
    good[ring] &= runs.length[ring] >= 4
    ring = ring[good[ring]]
    first, last = ends[ring] - runs.length[ring], ends[ring] - 1
    good[ring] = (source[first] == source[last]).all(axis=1)
    return good


def _without(features: Ints, runs: Runs, lonlat: Floats, spots: Ints) -> tuple[Runs, Floats, Ints]:
    """Runs and their vertices but for those of some features."""
    if not len(features):
        return runs, lonlat, spots
    kept = ~np.isin(runs.feature, features)
    vertices = np.repeat(kept, runs.length)
    return runs.take(kept), lonlat[vertices], spots[vertices]


def _jumping(lon: npt.NDArray[np.float64], ends: Ints) -> Ints:
    """Which of several lines or rings laid end to end have an edge over more than half of the globe.

    :param ends: the vertex after the last of each
    """
    with np.errstate(invalid="ignore"):
        before = np.flatnonzero(np.abs(np.diff(lon)) > 180)
    owner: Ints = np.searchsorted(ends, before, "right")
    inside: Ints = owner[owner == np.searchsorted(ends, before + 1, "right")]
    return inside


def _run_boxes(runs: Runs, lonlat: Floats) -> Floats:
    """(m, 4): west, south, east, north of each run."""
    starts = np.cumsum(runs.length) - runs.length
    if not len(starts):
        return np.zeros((0, 4))
    return np.hstack([np.minimum.reduceat(lonlat, starts), np.maximum.reduceat(lonlat, starts)])


def _possible(lonlat: Floats) -> Flags:
    """Which vertices can be on Earth."""
    with np.errstate(invalid="ignore"):
        lon, lat = np.abs(lonlat[:, 0]), np.abs(lonlat[:, 1])
        possible: Flags = (lon <= MAX_LONGITUDE + SLACK) & (lat <= 90 + SLACK)
        return possible


def _types(shapes: npt.NDArray[Any]) -> list[int]:
    """The standard's numbers; GEOS counts from 0 and has a closed ring between line and polygon."""
    numbers = np.unique(shapely.get_type_id(shapes))
    return [int(number) + (1 if number < mending.POLYGON else 0) for number in numbers]


def _flat(shapes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Shapes in degrees in EPSG:3857."""
    flat: npt.NDArray[Any] = shapely.set_coordinates(shapes, _mercator(shapely.get_coordinates(shapes)))
    return flat


def _mercator(lonlat: Floats) -> Floats:
    """Degrees to EPSG:3857 metres; latitudes beyond the map's edge go to the edge."""
    lat = np.radians(np.clip(lonlat[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
    return np.column_stack([np.radians(lonlat[:, 0]), np.arctanh(np.sin(lat))]) * RADIUS_M
