"""Large shapes in rough: what visitors see of them until their tiles are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import db, pyramid, rules, slimming, transfer
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Flags

#: Vertices from which a shape is sketched.  Others are read as they are.
LARGE_VERTICES = 2_500
#: The smallest thing in a sketch, in parts of the shape's own size.
DETAIL = 512
VERTEX_BYTES = 16

SKETCH = sql.Identifier("hdx_sketch")


@dataclass(frozen=True)
class Sketches:
    """Where a layer's sketches go: a table like the layer's own, with the same columns."""

    name: str

    def store(self, cursor: Any, boxes: Boxes, parts: list[Parts]) -> None:
        """Sketch the large ones of these shapes; the registry tells previews that they are there.

        :param parts: of shapes, each by its place in ``boxes``
        """
        large: Flags = boxes.vertices > LARGE_VERTICES
        if not any(large[found.feature].any() for found in parts):
            return
        table, sketches = db.table(self.name), db.table(rules.sketches_name(self.name))
        index = sql.Identifier(f"{rules.sketches_name(self.name)}_geom")
        cursor.execute(db.query("sketch_tables", table=table, sketches=sketches))
        for found in parts:
            shapes = transfer.shapes_of(_rough(found, boxes, large))
            columns = {"fid": boxes.fid[shapes.feature], "shape": shapes.ewkb}
            transfer.fill(cursor, SKETCH, columns)
        cursor.execute(
            db.query("fill_sketches", table=table, sketches=sketches, columns=_columns(cursor, table))
        )
        cursor.execute(db.query("index_table", table=sketches, index=index))
        rest = boxes.vertices[~large]
        shape_bytes = VERTEX_BYTES * float(rest.mean()) if len(rest) else 0.0
        cursor.execute(db.query("note_sketches"), {"table_name": self.name, "shape_bytes": shape_bytes})


def _rough(parts: Parts, boxes: Boxes, large: Flags) -> Parts:
    mine = parts.take(np.flatnonzero(large[parts.feature]))
    size_m = boxes.size[mine.feature] * pyramid.unit_m(0) * pyramid.UNITS / (1 << pyramid.GRID_BITS)
    return slimming.simplify(mine, mine.feature, size_m / DETAIL)


def _columns(cursor: Any, table: sql.Composable) -> sql.Composable:
    """The layer's columns in their order, with the sketch for the shape."""
    cursor.execute(db.query("no_rows", table=table))
    names = [column.name for column in cursor.description]
    return sql.SQL(", ").join(
        sql.Identifier("shape") if name == "hdx_geom" else sql.Identifier("l", name) for name in names
    )
