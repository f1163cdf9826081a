"""Where features lie, told from their EWKB while they are loaded: it need not be read back from the table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from ckanext.hdxjobs.geopreview import pyramid
from ckanext.hdxjobs.geopreview.pyramid import Outline

#: Features of a layer up to which it is worth the memory, 29 bytes each.
MOST = 5_000_000

#: A point in little-endian EWKB with its SRID.
_POINT = np.dtype([("head", "V9"), ("x", "<f8"), ("y", "<f8")])
_POINT_HEAD = b"\x01\x01\x00\x00\x20"


class Tracer:
    """Gathers the outline of a layer from its batches."""

    def __init__(self) -> None:
        self._pieces: list[Outline] = []
        self._count = 0

    def take(self, fids: pa.Array, shapes: pa.Array) -> None:
        """Note the features of a batch; ``shapes`` are EWKB in EPSG:3857, null where there is nothing to draw."""
        self._count += len(fids) - shapes.null_count
        if self._count > MOST:
            self._pieces.clear()
        elif shapes.null_count < len(shapes):
            try:
                self._pieces.append(_outline(fids.filter(shapes.is_valid()), shapes.drop_null()))
            except shapely.errors.ShapelyError:
                # The database will refuse it too, and can say which row it is.
                self._count = MOST + 1

    def outline(self) -> Outline | None:
        """Of all batches; None where there were too many features, none, or what is no shape."""
        if not self._pieces or self._count > MOST:
            return None
        return pyramid.joined(self._pieces)


def _outline(fids: pa.Array, shapes: pa.Array) -> Outline:
    fid = fids.to_numpy(zero_copy_only=False).astype(np.int64)
    points = _points(shapes)
    if points is not None:
        west, north, east, south = points["x"], points["y"], points["x"], points["y"]
        vertices, dimension = np.ones(len(fid), np.int32), np.zeros(len(fid), np.int8)
    else:
        objects = shapely.from_wkb(shapes.to_numpy(zero_copy_only=False))
        west, south, east, north = shapely.bounds(objects).T
        vertices = shapely.get_num_coordinates(objects).astype(np.int32)
        dimension = shapely.get_dimensions(objects).astype(np.int8)
    bounds = np.stack([pyramid.to_grid(edge) for edge in (west, -north, east, -south)])
    return Outline(fid, bounds, vertices, dimension)


def _points(shapes: pa.Array) -> npt.NDArray[np.void] | None:
    """The shapes where all of them are single points."""
    _, offsets, data = shapes.buffers()
    edges = np.frombuffer(offsets, np.int32)[shapes.offset : shapes.offset + len(shapes) + 1]
    if not (np.diff(edges) == _POINT.itemsize).all():
        return None
    found = np.frombuffer(data, _POINT, len(shapes), int(edges[0]))
    heads = found["head"].copy().view(np.uint8).reshape(-1, 9)[:, : len(_POINT_HEAD)]
    return found if (heads == np.frombuffer(_POINT_HEAD, np.uint8)).all() else None
