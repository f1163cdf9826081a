"""What the child process does with a file: describe its layers, stream their features.

Imported by ``parser`` only, after GDAL's drivers were narrowed to one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
from pyogrio.raw import open_arrow

from ckanext.hdxjobs.geopreview import charset, columns
from ckanext.hdxjobs.geopreview.shapes import Shapes

#: What the Arrow side raises when GDAL gives up in the middle of a file.
READ_ERRORS = (
    pa.ArrowException,
    pyogrio.errors.FeatureError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.CRSError,
)

#: Degrees by which bounds may overshoot and still look like longitudes and latitudes.
DEGREE_SLACK = 0.001


class UnfitError(Exception):
    """A layer that GDAL reads but that cannot become a map."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def inspect(path: Path, *, driver: str) -> dict[str, Any]:
    """Describe each layer of a file: name, type, CRS, count, fields, encoding."""
    encoding = charset.of_dbf(path.with_suffix(".dbf")) if driver == "ESRI Shapefile" else charset.UTF8
    pyogrio.set_gdal_config_options({"SHAPE_ENCODING": encoding.name if driver == "ESRI Shapefile" else None})
    layers = []
    for name, _ in pyogrio.list_layers(path):
        info = pyogrio.read_info(path, layer=name, force_feature_count=True)
        with open_arrow(path, layer=name, use_pyarrow=True, return_fids=True) as (meta, batches):
            fields = columns.describe(batches.schema, has_geometry=_has_geometry(meta))
        crs = source_crs(path, layer=name) if info["features"] else None
        layers.append(
            {
                "name": name,
                "geometry_type": str(info["geometry_type"] or ""),
                "feature_count": int(info["features"]),
                "fields": fields,
                "source_crs": crs.label if crs else "",
                "crs_assumed": bool(crs and crs.assumed),
                "crs_unknown": bool(info["features"] and crs is None),
                "encoding": encoding.name,
                "encoding_guessed": encoding.guessed,
            }
        )
    return {"layers": layers}


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


def source_crs(path: Path, *, layer: str) -> SourceCrs | None:
    """The CRS a layer states, WGS 84 where it states none and its bounds are degrees, else ``None``."""
    info = pyogrio.read_info(path, layer=layer)
    if info["crs"]:
        try:
            crs = pyproj.CRS.from_user_input(info["crs"])
            pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        except pyproj.exceptions.ProjError:
            pass
        else:
            return SourceCrs(crs)
    bounds = pyogrio.read_info(path, layer=layer, force_total_bounds=True)["total_bounds"]
    if bounds is None or not np.all(np.isfinite(bounds)):
        return SourceCrs(pyproj.CRS("EPSG:4326"), assumed=True)
    west, south, east, north = bounds
    if max(abs(west), abs(east)) <= 180 + DEGREE_SLACK and max(abs(south), abs(north)) <= 90 + DEGREE_SLACK:
        return SourceCrs(pyproj.CRS("EPSG:4326"), assumed=True)
    return None


def stream(path: Path, *, layer: str, rows: int, sink: BinaryIO) -> dict[str, Any]:
    """Write a layer's features as Arrow batches: fid, EWKB in EPSG:3857 (2D), then the fields.

    :returns: the counts and bounds that only a whole pass can tell
    """
    crs = source_crs(path, layer=layer)
    if crs is None:
        code = "unknown-crs"
        raise UnfitError(code)
    shapes = Shapes(crs.crs)
    count = 0
    with open_arrow(path, layer=layer, use_pyarrow=True, return_fids=True, batch_size=rows) as (
        meta,
        batches,
    ):
        has_geometry = _has_geometry(meta)
        plan = columns.plan(batches.schema, has_geometry=has_geometry)
        schema = pa.schema(
            [
                ("fid", pa.int64()),
                ("geometry", pa.binary()),
                *((f"c{n}", field.arrow) for n, field in enumerate(plan, 1)),
            ]
        )
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                fids = batch.column(0).to_numpy(zero_copy_only=False)
                blobs = (
                    batch.column(batch.num_columns - 1) if has_geometry else pa.nulls(len(batch), pa.binary())
                )
                geometry = shapes.take(fids, blobs)
                fields = [column.convert(batch.column(column.index)) for column in plan]
                writer.write_batch(
                    pa.record_batch([batch.column(0).cast(pa.int64()), geometry, *fields], schema=schema)
                )
                count += len(batch)
    return {"row_count": count, "shapes": json.loads(json.dumps(shapes.report(), allow_nan=False))}


def _has_geometry(meta: dict[str, Any]) -> bool:
    return bool(meta["geometry_type"])
