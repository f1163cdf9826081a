"""ogr2ogr as the oracle: the same rows, fields and geometry as it puts into PostGIS.

Differences on purpose: our columns are called c1 to cn (names live in the
registry); lists and nested objects are JSON; geometry is flat and in EPSG:3857.
"""

from __future__ import annotations

import decimal
import shutil
import subprocess

import makers
import numpy as np
import psycopg2
import pytest
import shapely

pytestmark = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="gdal-bin is not installed")

#: Fields that newer GDAL than the distribution's adds by itself.
NEWER_FIELDS = {"id"}

RANDOM = np.random.default_rng(7)


def mixed_geojson(_):
    features = []
    for number in range(500):
        lon, lat = RANDOM.uniform(-170, 170), RANDOM.uniform(-80, 80)
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
    shapes = [
        shapely.box(x, y, x + 500, y + 700)
        for x, y in RANDOM.uniform((200_000, 9_000_000), (800_000, 9_900_000), (200, 2))
    ]
    fields = {
        "number": np.arange(200, dtype="int32"),
        "area": RANDOM.uniform(0, 1, 200),
        "name": np.array([f"Ñandú {number}" for number in range(200)], dtype=object),
    }
    return makers.shapefile(
        folder, geometries=shapes, fields=fields, geometry_type="Polygon", crs="EPSG:32737"
    ), "towns.shp"


@pytest.fixture
def oracle(geo, tmp_path):
    """A file as ogr2ogr loads it: (columns, rows with geometry as WKT in 3857)."""

    def run(files):
        folder = tmp_path / "oracle"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        source = folder / next(name for name in files if name.endswith((".geojson", ".kml", ".shp")))
        subprocess.run(
            ["ogr2ogr", "-f", "PostgreSQL", f"PG:{geo.admin}", str(source), "-nln", "public.oracle", "-overwrite", "-dim", "XY",
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


@pytest.mark.parametrize("maker", [mixed_geojson, towns_kml, projected_shapefile])
def test_rows_fields_and_geometry_equal_those_of_ogr2ogr(geo, imported, oracle, tmp_path, maker):
    content, name = maker(tmp_path / "make")
    files = content if isinstance(content, dict) else {name: content}
    ours = imported(makers.zipped(files) if isinstance(content, dict) else content)
    columns, values, shapes = oracle(files)

    fields = {field.name: field.key for field in ours.tile_sets[0].fields}
    theirs = [column for column in columns if column not in ("ogr_fid", "ogr_geom")]
    assert [name for name in fields if name not in NEWER_FIELDS] == [
        name for name in theirs if name not in NEWER_FIELDS
    ]
    keep = [columns.index(column) for column in theirs]
    mine = ours.rows(*(fields[name] for name in theirs))
    for row, other in zip(mine, ([row[index] for index in keep] for row in values), strict=True):
        assert list(row) == [_rounded(value) for value in other]
    assert_same_shapes(ours_wkt(geo, ours), shapes)


def _rounded(value):
    """ogr2ogr writes numbers with 15 digits, and Shapefile's as numeric."""
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
