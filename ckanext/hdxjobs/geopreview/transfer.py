"""Between PostGIS and numpy: boxes and shapes come and go by binary COPY."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import cutting, db, pyramid, rows
from ckanext.hdxjobs.geopreview.cutting import Kind, Parts

SRID = 3857
#: Bytes that are gathered before they become arrays.
CHUNK_BYTES = 16_000_000
#: Vertices that are cut at once; bounds the memory that cutting takes on top of the shapes themselves.
CHUNK_VERTICES = 400_000

#: Columns to write, by their names.
Columns = dict[str, npt.NDArray[Any]]

_HEADER_BYTES = len(rows.HEADER)
_BOX = np.dtype(
    [
        ("cells", ">i2"),
        *(("size_fid", ">i4"), ("fid", ">i8")),
        *(("size_west", ">i4"), ("west", ">f8")),
        *(("size_south", ">i4"), ("south", ">f8")),
        *(("size_east", ">i4"), ("east", ">f8")),
        *(("size_north", ">i4"), ("north", ">f8")),
        *(("size_vertices", ">i4"), ("vertices", ">i4")),
        *(("size_dimension", ">i4"), ("dimension", ">i4")),
    ]
)


class _Boxes:
    """A file that COPY writes boxes into; keeps 36 bytes a feature."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = _HEADER_BYTES
        self._chunks: list[pyramid.Outline] = []

    def write(self, data: bytes) -> int:
        self._buffer += data
        if len(self._buffer) > CHUNK_BYTES:
            self._convert()
        return len(data)

    def _convert(self) -> None:
        if self._skip:
            del self._buffer[: self._skip]
            self._skip = 0
        count = len(self._buffer) // _BOX.itemsize
        found = np.frombuffer(bytes(self._buffer[: count * _BOX.itemsize]), _BOX)
        del self._buffer[: count * _BOX.itemsize]
        bounds = np.stack(
            [
                pyramid.to_grid(found["west"]),
                pyramid.to_grid(-found["north"].astype(float)),
                pyramid.to_grid(found["east"]),
                pyramid.to_grid(-found["south"].astype(float)),
            ]
        )
        self._chunks.append(
            pyramid.Outline(
                found["fid"].astype(np.int64),
                bounds,
                found["vertices"].astype(np.int32),
                found["dimension"].astype(np.int8),
            )
        )

    def result(self) -> pyramid.Boxes:
        self._convert()
        return pyramid.boxes(pyramid.joined(self._chunks))


class _Blobs:
    """A file that COPY writes (id, WKB) into."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = _HEADER_BYTES
        self.fids: list[int] = []
        self.blobs: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._buffer += data
        while len(self._buffer) >= self._at + 18:
            cells, _, fid, size = struct.unpack_from(">hiqi", self._buffer, self._at)
            end = self._at + 18 + size
            if cells < 0 or len(self._buffer) < end:
                break
            self.fids.append(fid)
            self.blobs.append(bytes(self._buffer[self._at + 18 : end]))
            del self._buffer[:end]
            self._at = 0
        return len(data)


def read_boxes(cursor: Any, table: sql.Composable, *, dimension: int | None) -> pyramid.Boxes:
    """The boxes of all features that can be drawn.

    :param dimension: of all of them, where that is known: spares reading each
    """
    asked = sql.SQL("ST_Dimension(hdx_geom)") if dimension is None else sql.Literal(dimension)
    sink = _Boxes()
    cursor.copy_expert(db.query("copy_boxes", table=table, dimension=asked), sink)
    return sink.result()


def read_large(
    cursor: Any, table: sql.Composable, boxes: pyramid.Boxes, wanted: pyramid.Flags
) -> Iterator[Parts]:
    """The parts of some features in the one tile of zoom 0; ``feature`` is the place in ``boxes``."""
    places, top = np.flatnonzero(wanted), np.zeros(1, np.int64)
    if len(places):
        for parts in read_shapes(cursor, table, boxes.fid[places]):
            yield cutting.cut_to_tiles(replace(parts, feature=places[parts.feature]), top, top, 0)


def read_shapes(cursor: Any, table: sql.Composable, fids: npt.NDArray[np.int64]) -> Iterator[Parts]:
    """The parts of some features, a bounded number of vertices at a time; ``feature`` is the place in ``fids``."""
    sink = _Blobs()
    fill(cursor, sql.Identifier("hdx_walker"), {"fid": fids})
    cursor.copy_expert(db.query("copy_shapes", table=table), sink)
    order = np.argsort(fids)
    places = order[np.searchsorted(fids, np.array(sink.fids, np.int64), sorter=order)]
    sizes = np.array([len(blob) for blob in sink.blobs])
    chunk = np.cumsum(sizes) // (CHUNK_VERTICES * 16)
    ring = 0
    for number in np.unique(chunk):
        mine = np.flatnonzero(chunk == number)
        shapes = shapely.from_wkb(np.array([sink.blobs[place] for place in mine], dtype=object))
        for place in mine:
            sink.blobs[place] = b""
        for parts in parts_of(shapes, places[mine], ring):
            ring += len(parts)
            yield parts


def parts_of(shapes: npt.NDArray[Any], features: npt.NDArray[np.int64], first_ring: int) -> Iterator[Parts]:
    """Shapes as parts of one tile: points, lines and rings apart."""
    while (several := shapely.get_type_id(shapes) >= 4).any():
        inner, owner = shapely.get_parts(shapes[several], return_index=True)
        features = np.concatenate([features[~several], features[several][owner]])
        shapes = np.concatenate([shapes[~several], inner])
    kinds = shapely.get_dimensions(shapes)
    for kind in Kind:
        mine = (kinds == kind) & ~shapely.is_empty(shapes)
        if not mine.any():
            continue
        found, whose = shapes[mine], features[mine]
        polygon: npt.NDArray[Any] = np.arange(len(found))
        if kind is Kind.RING:
            found, polygon = shapely.get_rings(found, return_index=True)
            whose = whose[polygon]
        ring = first_ring + np.arange(len(found))
        new = np.ones(len(found), bool)
        new[1:] = polygon[1:] != polygon[:-1]
        shell = np.maximum.accumulate(np.where(new, ring, 0))
        starts = cutting.offsets(shapely.get_num_coordinates(found).astype(np.int64))
        xy = shapely.get_coordinates(found)
        tile, box = np.zeros(len(found), np.int64), cutting.boxes(xy, starts)
        yield Parts(kind, xy, starts, whose.astype(np.int64), ring, shell, tile, box)
        first_ring += len(found)


@dataclass(frozen=True)
class Shapes:
    """Shapes in tiles, of each feature one a tile.

    :ivar ewkb: (n) bytes
    """

    ewkb: npt.NDArray[Any]
    tile: pyramid.Ints
    feature: pyramid.Ints

    def __len__(self) -> int:
        return len(self.tile)


def shapes_of(parts: Parts) -> Shapes:
    """Parts put together again."""
    parts = cutting.ordered(parts)
    if not len(parts):
        return Shapes(np.zeros(0, object), parts.tile, parts.feature)
    new_shape = _changes(parts.tile) | _changes(parts.feature)
    firsts = np.flatnonzero(new_shape)
    if parts.kind is Kind.RING:
        polygons = np.flatnonzero(new_shape | _changes(parts.shell))
        ends: tuple[npt.NDArray[Any], ...] = (
            parts.starts,
            np.append(polygons, len(parts)),
            np.append(np.searchsorted(polygons, firsts), len(polygons)),
        )
        shapes = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, parts.xy, ends)
    elif parts.kind is Kind.LINE:
        ends = (parts.starts, np.append(firsts, len(parts)))
        shapes = shapely.from_ragged_array(shapely.GeometryType.MULTILINESTRING, parts.xy, ends)
    else:
        ends = (np.append(firsts, len(parts)),)
        shapes = shapely.from_ragged_array(shapely.GeometryType.MULTIPOINT, parts.xy, ends)
    blobs = shapely.to_wkb(shapely.set_srid(shapes, SRID), include_srid=True, flavor="extended", byte_order=1)
    return Shapes(blobs, parts.tile[firsts], parts.feature[firsts])


def _changes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    flags = np.ones(len(values), bool)
    flags[1:] = values[1:] != values[:-1]
    return flags


def fill(cursor: Any, table: sql.Composable, columns: Columns) -> None:
    """Append rows; whole numbers go into columns of type bigint, objects are bytes as binary COPY has them."""
    arrays = [
        pa.array(values, pa.large_binary()) if values.dtype == object else pa.array(values.astype(np.int64))
        for values in columns.values()
    ]
    names = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
    cursor.copy_expert(db.query("copy_columns", table=table, columns=names), rows.CopyFile(_encoded(batch)))


def _encoded(batch: pa.RecordBatch) -> Iterator[bytes]:
    yield rows.HEADER
    for start in range(0, len(batch), 50_000):
        yield rows.encode(batch.slice(start, 50_000), json_columns=frozenset())
    yield rows.TRAILER
