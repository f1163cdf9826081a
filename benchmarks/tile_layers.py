"""Layers to measure tiles with, made in the map database itself and published like an import's."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from ckanext.hdxjobs.geopreview import db, prepare, publish, rules
from ckanext.hdxjobs.geopreview.load import fields_json
from ckanext.hdxjobs.geopreview.values import Layer, Table, TileSet

_PARTS = re.split(r"^-- name: (\w+)$", Path(__file__).with_suffix(".sql").read_text(), flags=re.MULTILINE)
QUERIES = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))

_KINDS = {
    "points": "Point",
    "squares": "Polygon",
    "giant": "Polygon",
    "mosaic": "Polygon",
    "routes": "LineString",
}
_TYPES = {"text": "string", "bigint": "integer"}
_CLUSTERS = """
SELECT setseed(0.42);
CREATE TEMP TABLE hdx_clusters AS
SELECT i AS i_cluster, (random() * 70 - 20)::float8 AS lon, (random() * 60 - 30)::float8 AS lat,
    power(random(), 3) * 3 + 0.05 AS s
FROM generate_series(1, 400) AS i;
"""


@dataclass(frozen=True)
class Made:
    """A published layer and what it took.

    :ivar table_bytes: the base table with its TOAST, without indexes
    :ivar stored_bytes: stored tiles and pieces, likewise
    """

    tile_set: TileSet
    table_name: str
    phase_one_s: float
    prepared: prepare.Prepared
    table_bytes: int
    stored_bytes: int


def make(kind: str, count: int, dsn: str) -> Made:
    """A layer of ``count`` features (or vertices, for the giant), published and prepared."""
    name = rules.layer_id(f"bench-{kind}-{count}", "")
    table = rules.table_name(name, 1)
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(_CLUSTERS)
        cursor.execute(
            "INSERT INTO hdxjobs.resource (resource_id) VALUES (%s) ON CONFLICT DO NOTHING", [name]
        )
        cursor.execute(f"CREATE TABLE hdxjobs.{table} AS {QUERIES[kind]}", {"count": count})
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = %s AND column_name NOT LIKE 'hdx%%' ORDER BY ordinal_position",
            [table],
        )
        fields = rules.make_fields((column, _TYPES[kind]) for column, kind in cursor.fetchall())
        cursor.execute(
            f"SELECT count(*), ST_XMin(e), ST_YMin(e), ST_XMax(e), ST_YMax(e) FROM hdxjobs.{table},"
            f" (SELECT ST_Transform(ST_SetSRID(ST_Extent(hdx_geom)::geometry, 3857), 4326) AS e FROM hdxjobs.{table}) AS all_of_it"
            " GROUP BY e"
        )
        rows, *bbox = cursor.fetchone()
        layer = Layer(name, name, 1, Path(), "", kind, kind, _KINDS[kind], "EPSG:4326", "UTF-8", rows, fields)
        loaded = Table(layer, table, rows, rows, _KINDS[kind], tuple(bbox))
        cursor.execute(
            db.query("stage_layer"),
            {
                "layer_id": name, "generation": 1, "resource_id": name, "table_name": table, "name": kind,
                "geometry_type": _KINDS[kind], "feature_count": rows, "bbox_lonlat": bbox,
                "fields": fields_json(fields), "source_crs": "EPSG:4326",
            },
        )  # fmt: skip
    started = time.monotonic()
    (tile_set,) = publish.publish([loaded], resource_id=name, generation=1, dsn=dsn)
    phase_one_s = time.monotonic() - started
    (prepared,) = prepare.prepare([tile_set], dsn=dsn)
    with connection, connection.cursor() as cursor:
        sizes = [_size(cursor, each) for each in (table, rules.stored_name(table), rules.pieces_name(table))]
    connection.close()
    return Made(tile_set, table, phase_one_s, prepared, sizes[0], sizes[1] + sizes[2])


def _size(cursor: psycopg2.extensions.cursor, table: str) -> int:
    cursor.execute("SELECT coalesce(pg_table_size(to_regclass(%s)), 0)", [f"hdxjobs.{table}"])
    return cursor.fetchone()[0]
