"""ogr2ogr as the oracle: the same rows, fields and geometry as it puts into PostGIS.

Differences on purpose, each with its reason:

- our columns are called c1 to cn, names live in the registry: any name is safe, and shown as it was;
- lists and nested objects are JSON: a map's popup shows them as they were;
- geometry is flat and in EPSG:3857: that is what tiles are made of;
- whole numbers are bigint, and numbers double precision, whatever their width in the file: ogr2ogr makes numeric of
  a Shapefile's, which MVT does not know, and integer of small ones;
- binary fields are left out, with a warning: they say nothing on a map;
- whole numbers of 64 bits in a MapInfo file: GDAL 3.6 refuses the file, 3.12 reads it; its booleans are texts in 3.6;
- a date or moment that a driver of GDAL 3.6 reads as text (CSV) is one where GDAL 3.12 knows better.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import shutil
import subprocess

import makers
import numpy as np
import psycopg2
import pytest
import shapely
from corpus import build
from corpus.xml_cases import GML, GML2, GPX, URN

pytestmark = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="gdal-bin is not installed")

#: Fields that newer GDAL than the distribution's adds by itself.
NEWER_FIELDS = {"id"}


def chance():
    """The same numbers for each file, whichever is made first."""
    return np.random.default_rng(7)


def mixed_geojson(_):
    random, features = chance(), []
    for number in range(500):
        lon, lat = random.uniform(-170, 170), random.uniform(-80, 80)
        shape = [
            makers.point(lon, lat),
            {"type": "LineString", "coordinates": [[lon, lat], [lon + 1, lat + 1], [lon + 2, lat]]},
            {
                "type": "Polygon",
                "coordinates": [[[lon, lat], [lon + 1, lat], [lon + 1, lat + 1], [lon, lat]]],
            },
            None,
        ][number % 4]
        text = None if number % 7 == 0 else f"naïve {number} 漢"
        features.append(
            makers.feature(shape, n=number, x=number / 7, text=text, ok=number % 2 == 0, day="2026-01-02")
        )
    return makers.geojson(*features), "a.geojson"


def towns_kml(_):
    return makers.kml(("Towns", makers.town_placemarks())), "a.kml"


def projected_shapefile(folder):
    random = chance()
    shapes = [
        shapely.box(x, y, x + 500, y + 700)
        for x, y in random.uniform((200_000, 9_000_000), (800_000, 9_900_000), (200, 2))
    ]
    fields = {
        "number": np.arange(200, dtype="int32"),
        "area": random.uniform(0, 1, 200),
        "name": np.array([f"Ñandú {number}" for number in range(200)], dtype=object),
    }
    return makers.shapefile(
        folder, geometries=shapes, fields=fields, geometry_type="Polygon", crs="EPSG:32737"
    ), "towns.shp"


def of_all_types(driver, suffix, without=(), **options):
    """A file with a field of each type that a driver writes, and shapes in UTM."""
    shapes = [
        shapely.box(x, y, x + 500, y + 700)
        for x, y in chance().uniform((200_000, 9_000_000), (800_000, 9_900_000), (50, 2))
    ]
    number = np.arange(50)
    fields = {
        "small": number.astype("int32"),
        "large": number.astype("int64") * 10**12,
        "real": number / 7,
        "name": np.array([f"Ñandú {each}" for each in number], dtype=object),
        "flag": number % 2 == 0,
        "day": np.array([f"2026-01-{each % 28 + 1:02}" for each in number], dtype="datetime64[D]"),
        "moment": np.array([f"2026-01-01T{each % 24:02}:00:00" for each in number], dtype="datetime64[ms]"),
    }
    fields = {name: values for name, values in fields.items() if name not in without}

    def make(_):
        return build.written(
            driver, suffix, geometries=shapes, fields=fields, kind="Polygon", crs="EPSG:32737", **options
        ), f"made{suffix}"

    make.__name__ = driver
    return make


def a_text(content, name):
    def make(_):
        return content.encode() if isinstance(content, str) else content, name

    make.__name__ = name
    return make


LINES = "\n".join(
    json.dumps(build.feature(build.point(lon, lat), name=name)) for lon, lat, name in build.TOWNS
)
MAKERS = (
    mixed_geojson,
    towns_kml,
    projected_shapefile,
    of_all_types("GPKG", ".gpkg"),
    of_all_types("FlatGeobuf", ".fgb", layer_options={"SPATIAL_INDEX": "NO"}),
    of_all_types("MapInfo File", ".tab", without=["large", "flag"]),
    of_all_types("MapInfo File", ".mif", without=["large", "flag"]),
    of_all_types("OpenFileGDB", ".gdb"),
    of_all_types("GeoJSON", ".geojson"),
    a_text(LINES, "towns.geojsonl"),
    a_text(GML.format(srs=URN, pos="-1.3 36.8"), "new.gml"),
    a_text(GML2, "old.gml"),
    a_text(GPX, "walk.gpx"),
)


@pytest.fixture
def oracle(geo, tmp_path):
    """A file as ogr2ogr loads it: (columns, rows with geometry as WKT in 3857)."""

    def run(files, main, layer=""):
        folder = tmp_path / "oracle"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        source = folder / main
        subprocess.run(
            ["ogr2ogr", "-f", "PostgreSQL", f"PG:{geo.admin}", str(source), *([layer] if layer else []), "-nln", "public.oracle", "-overwrite", "-dim", "XY",
             "-t_srs", "EPSG:3857", "-lco", "GEOMETRY_NAME=ogr_geom", "-lco", "FID=ogr_fid", "-lco", "LAUNDER=NO", "-nlt", "GEOMETRY"],
            check=True, capture_output=True,
        )  # fmt: skip
        connection = psycopg2.connect(geo.admin)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM public.oracle ORDER BY ogr_fid")
            columns = [column.name for column in cursor.description]
            values = cursor.fetchall()
            cursor.execute("SELECT ST_AsText(ogr_geom) FROM public.oracle ORDER BY ogr_fid")
            shapes = [text for (text,) in cursor.fetchall()]
        connection.close()
        return columns, values, shapes

    return run


@pytest.mark.parametrize("preferred", ["pyogrio", "ogr2ogr"])
@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_rows_fields_and_geometry_equal_those_of_ogr2ogr(geo, imported, oracle, tmp_path, maker):
    content, name = maker(tmp_path / "make")
    files = content if isinstance(content, dict) else {name: content}
    ours = imported(makers.zipped(files) if isinstance(content, dict) else content)
    columns, values, shapes = oracle(files, name, ours.tables[0].layer.name_in_file)

    fields = {field.name: field.key for field in ours.tile_sets[0].fields}
    theirs = [column for column in columns if column not in ("ogr_fid", "ogr_geom")]
    assert [name for name in fields if name not in NEWER_FIELDS] == [
        name for name in theirs if name not in NEWER_FIELDS
    ]
    keep = [columns.index(column) for column in theirs]
    mine = ours.rows(*(fields[name] for name in theirs))
    for row, other in zip(mine, ([row[index] for index in keep] for row in values), strict=True):
        assert [_rounded(value) if isinstance(value, dt.datetime) else value for value in row] == [
            _rounded(value) for value in other
        ]
    assert_same_shapes(ours_wkt(geo, ours), shapes)


def _rounded(value):
    """ogr2ogr writes numbers with 15 digits, Shapefile's as numeric, booleans as smallint, and moments with a zone."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    return pytest.approx(float(value), rel=1e-14) if isinstance(value, float | decimal.Decimal) else value


def ours_wkt(geo, result):
    rows = geo.rows(f"SELECT ST_AsText(hdx_geom) FROM hdxjobs.{result.tables[0].table_name} ORDER BY hdx_fid")
    return [text for (text,) in rows]


def assert_same_shapes(mine, others):
    for one, other in zip(mine, others, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            shape, expected = shapely.from_wkt(one), shapely.from_wkt(other)
            assert shape.geom_type == expected.geom_type
            assert shapely.get_coordinates(shape) == pytest.approx(
                shapely.get_coordinates(expected), abs=1e-3
            )
