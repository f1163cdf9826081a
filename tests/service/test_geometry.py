"""Odd geometry on its whole way: what the tiles show, and what the publisher is told."""

from __future__ import annotations

import sqlite3
import struct

import makers
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from makers import feature, geojson
from shapely.geometry import shape

from ckanext.hdxjobs.geopreview import load, reader
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.pyramid import Budget

FIJI = [[177, -16], [-178, -17], [-178, -19], [177, -19], [177, -16]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": rings}


def drawn(result, z=0, x=0, y=0):
    """Shapes of a tile; 4096 units a side, y upwards."""
    return [shape(item["geometry"]) for item in result.tile(z, x, y)]


def test_a_country_across_the_antimeridian_is_drawn_at_both_edges_and_not_between(imported):
    result = imported(geojson(feature(polygon(FIJI))))
    (world,) = drawn(result)
    assert not world.intersects(shapely.box(40, 0, 4000, 4096))
    assert result.tile_sets[0].bbox_lonlat == (177, -19, -178, -16)
    assert (drawn(result, 5, 0, 17), drawn(result, 5, 31, 17)) != ([], [])
    assert drawn(result, 5, 16, 17) == []


def test_the_first_and_the_last_tile_meet_at_the_antimeridian(imported):
    result = imported(geojson(feature(polygon(FIJI))))
    sides = []
    for column, edge in ((0, 0), (255, 4096)):
        (part,) = drawn(result, 8, column, 140)
        sides.append(part.intersection(shapely.LineString([(edge, -100), (edge, 5000)])).bounds[1::2])
    assert sides[0] == pytest.approx(sides[1], abs=2)


@pytest.mark.parametrize(
    "line",
    [[[179, -17], [-179, -17.5]], [[179, -17], [181, -17.5]], [[539 - 360, -17], [-179, -17.5]]],
)
def test_a_line_across_the_antimeridian_is_short(imported, line):
    result = imported(geojson(feature({"type": "LineString", "coordinates": line})))
    (world,) = drawn(result)
    assert world.length < 50


@pytest.mark.parametrize(
    "ring",
    [
        [[-170, -10], [170, -10], [170, 10], [-170, 10], [-170, -10]],
        [[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]],
        [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]],
    ],
)
def test_a_box_around_the_world_is_filled(imported, ring):
    (world,) = drawn(imported(geojson(feature(polygon(ring)))))
    assert world.contains(shapely.Point(2048, 2048))
    assert world.area > 4096 * 200


def polar(folder, code):
    angle = np.linspace(0, 2 * np.pi, 181)
    ring = (
        np.column_stack([np.cos(angle), np.sin(angle)]) * (2_000_000 + 100_000 * np.sin(5 * angle))[:, None]
    )
    ring[-1] = ring[0]
    parts = makers.shapefile(
        folder, geometries=[shapely.Polygon(ring)], fields={"n": [1]}, geometry_type="Polygon", crs=code
    )
    return makers.zipped(parts)


@pytest.mark.parametrize(("code", "row"), [("EPSG:3031", 0), ("EPSG:3995", 4095)])
def test_the_land_around_a_pole_is_filled_up_to_the_edge_of_the_map(imported, tmp_path, code, row):
    result = imported(polar(tmp_path / "make", code))
    (world,) = drawn(result)
    assert world.contains(shapely.box(1, row, 4095, row + 1))
    assert result.tile_sets[0].source_crs == code


@pytest.mark.parametrize("budget", [None, 50])
def test_the_land_around_a_pole_is_filled_when_it_is_cut_in_pieces(imported, tmp_path, budget):
    budget = budget and Budget(rows=10, vertices=budget, max_zoom=4)
    result = imported(polar(tmp_path / "make", "EPSG:3031"), budget=budget)
    for x in range(8):
        (tile,) = drawn(result, 3, x, 7)
        assert tile.contains(shapely.box(10, 10, 4086, 20))


AREAS = {
    "a bow-tie": (polygon([[0, 0], [20, 20], [20, 0], [0, 20], [0, 0]]), 200),
    "a hole that reaches out": (
        polygon(
            [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]], [[-5, 5], [10, 5], [10, 15], [-5, 15], [-5, 5]]
        ),
        350,
    ),
    "a spike": (polygon([[0, 0], [10, 0], [30, 0], [10, 0], [10, 10], [0, 10], [0, 0]]), 100),
    "repeated vertices": (polygon([[0, 0], [0, 0], [10, 0], [10, 10], [10, 10], [0, 10], [0, 0]]), 100),
    "an open ring": (polygon([[0, 0], [10, 0], [10, 10], [0, 10]]), 100),
    "polygons that overlap": (
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]],
                [[[5, 0], [15, 0], [15, 10], [5, 10], [5, 0]]],
            ],
        },
        150,
    ),
    "the same polygon twice": (
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]] * 2},
        100,
    ),
    "a polygon in collections": (
        {
            "type": "GeometryCollection",
            "geometries": [
                {
                    "type": "GeometryCollection",
                    "geometries": [polygon([[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]])],
                }
            ],
        },
        100,
    ),
}


@pytest.mark.parametrize(("geometry", "square_degrees"), AREAS.values(), ids=AREAS)
def test_a_broken_polygon_draws_its_area(imported, geometry, square_degrees):
    (world,) = drawn(imported(geojson(feature(geometry))))
    assert world.area == pytest.approx(square_degrees * (4096 / 360) ** 2, rel=0.05)


@pytest.mark.parametrize("others", [0, 1])
def test_a_mixed_collection_draws_its_points_its_lines_and_its_polygons(imported, others):
    mixed = {
        "type": "GeometryCollection",
        "geometries": [
            makers.point(-100, 0),
            {"type": "LineString", "coordinates": [[-110, 0], [-120, 10]]},
            polygon([[-130, 0], [-120, 0], [-120, -10], [-130, 0]]),
        ],
    }
    result = imported(geojson(feature(mixed), *[feature(makers.point(1, 1))] * others))
    assert [one.geom_type for one in drawn(result)][:3] == ["Point", "LineString", "Polygon"]
    assert {item["id"] for item in result.tile()} == {0, *range(1, 1 + others)}


DOTS = {
    "a ring of one place": polygon([[5, 5]] * 4),
    "a ring of one vertex": polygon([[5, 5]]),
    "a ring that folds flat": polygon([[5, 5], [6, 5], [5, 5], [5, 5]]),
    "a line of one place": {"type": "LineString", "coordinates": [[5, 5], [5, 5]]},
    "a line of one vertex": {"type": "LineString", "coordinates": [[5, 5]]},
}


@pytest.mark.parametrize("geometry", DOTS.values(), ids=DOTS)
def test_what_has_no_size_is_still_drawn(imported, geometry):
    result = imported(geojson(feature(geometry), feature(makers.point(50, 50))))
    assert len(result.tile()) == 2


def test_what_is_not_as_it_was_is_said_with_layer_count_and_example(imported):
    features = [
        feature(makers.point(1, 2)),
        feature(None),
        feature(makers.point(1, 99)),
        feature({"type": "MultiPoint", "coordinates": [[1, 2], [1, 99]]}),
        feature(polygon([[0, 0], [1, 0], [1, 1]])),
        feature(makers.point(1, 89)),
        feature({"type": "Point", "coordinates": [1, 2, 3]}),
    ]
    result = imported(geojson(*features), name="odd.geojson")
    said = {notice.code: (notice.layer, notice.count, notice.example) for notice in result.notices}
    assert said == {
        "no-geometry": ("odd", 1, "feature 1"),
        "out-of-range": ("odd", 1, "feature 2 at 1 99"),
        "parts-out-of-range": ("odd", 1, "feature 3"),
        "geometry-repaired": ("odd", 1, "feature 4"),
        "beyond-map": ("odd", 1, "feature 5"),
        "z-dropped": ("odd", 7, ""),
    }
    assert result.tables[0].row_count == 7


@pytest.mark.parametrize("code", ["EPSG:4326", "EPSG:32637", "EPSG:3857", "EPSG:21037", "EPSG:4210"])
def test_points_of_any_crs_land_where_they_are(imported, tmp_path, code):
    there = pyproj.Transformer.from_crs("EPSG:4326", code, always_xy=True)
    spots = [shapely.Point(there.transform(lon, lat)) for lon, lat, _ in makers.TOWNS]
    result = imported(makers.zipped(makers.shapefile(tmp_path / "make", geometries=spots, crs=code)))
    found = [shapely.from_wkt(text).coords[0] for text in result.lonlat()]
    assert found == [pytest.approx(town[:2], abs=1e-5) for town in makers.TOWNS]


@pytest.mark.parametrize("urn", ["urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:OGC:1.3:CRS84"])
def test_the_order_of_axes_in_an_old_geojson_is_longitude_first(imported, urn):
    crs = {"type": "name", "properties": {"name": urn}}
    assert imported(geojson(feature(makers.point(36.8, -1.3)), crs=crs)).lonlat() == ["POINT(36.8 -1.3)"]


GML = """<?xml version="1.0"?><FC xmlns:gml="http://www.opengis.net/gml/3.2" xmlns="http://x.test/">
<member><F><g><gml:Point srsName="{crs}"><gml:pos>{place}</gml:pos></gml:Point></g></F></member>
<member><F><g><gml:Curve srsName="{crs}"><gml:segments><gml:Arc><gml:posList>{arc}</gml:posList></gml:Arc>
</gml:segments></gml:Curve></g></F></member></FC>"""


def streamed(path, format_name):
    """Shapes in EPSG:3857 and what the child reports of them."""
    with reader.Readers(reader.Limits(timeout_s=30, memory_bytes=4 * 1024**3)) as readers:
        (layer,) = readers.inspect(path, format_=FORMATS[format_name])
        with readers.stream(
            path, format_=FORMATS[format_name], layer=layer["name"], encoding="UTF-8"
        ) as stream:
            blobs = [blob for batch in stream.batches for blob in batch.column("geometry").to_pylist()]
        return [None if blob is None else shapely.from_wkb(blob) for blob in blobs], stream.report["shapes"]


@pytest.mark.parametrize(
    ("crs", "place", "arc"),
    [
        ("urn:ogc:def:crs:EPSG::4326", "-1 36", "0 36 1 37 0 38"),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", "-1 36", "0 36 1 37 0 38"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "36 -1", "36 0 37 1 38 0"),
        ("EPSG:4326", "36 -1", "36 0 37 1 38 0"),
    ],
)
def test_gml_lands_right_whichever_axis_is_first_and_its_arcs_are_drawn(tmp_path, crs, place, arc):
    path = tmp_path / "layer.gml"
    path.write_text(GML.format(crs=crs, place=place, arc=arc))
    (point, line), report = streamed(path, "GML")
    assert (point.x, point.y) == pytest.approx((36 * 111_319.49, -111_325.14), abs=1)
    assert line.bounds == pytest.approx((36 * 111_319.49, 0, 38 * 111_319.49, 111_325.14), abs=1)
    assert report["replaced"] == {"count": 1, "example": "feature 1"}


@pytest.mark.parametrize(("metres", "assumed", "unknown"), [(1, True, False), (1000, False, True)])
def test_curves_of_no_crs_are_looked_at_like_any_other_shape(tmp_path, metres, assumed, unknown):
    path = tmp_path / "layer.gml"
    arc = f"36 0 37 {metres} 38 0"
    path.write_text(GML.format(crs="", place="36 -1", arc=arc).replace(' srsName=""', ""))
    with reader.Readers(reader.Limits(timeout_s=30, memory_bytes=4 * 1024**3)) as readers:
        (layer,) = readers.inspect(path, format_=FORMATS["GML"])
    assert (layer["crs_assumed"], layer["crs_unknown"]) == (assumed, unknown)


@pytest.fixture
def geopackage(tmp_path):
    """A GeoPackage of these shapes, written as they are, after a point."""

    def write(*blobs):
        path = tmp_path / "layer.gpkg"
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(np.array([shapely.Point(0, 0)], dtype=object)),
            field_data=[np.array(["a"], dtype=object)],
            fields=["name"],
            geometry_type="Unknown",
            crs="EPSG:4326",
            driver="GPKG",
            layer="odd",
        )
        connection = sqlite3.connect(path)
        # The triggers that mind the spatial index know functions that only GDAL has.
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        header = b"GP\0\1" + struct.pack("<i", 4326)
        connection.executemany("INSERT INTO odd (geom) VALUES (?)", [(header + blob,) for blob in blobs])
        connection.commit()
        connection.close()
        return path

    return write


ARC = makers.curve(8, [(0, 0), (1, 1), (2, 0)])


def test_a_geopackage_of_curves_is_drawn_and_they_are_counted(geopackage):
    found, report = streamed(geopackage(ARC, makers.container(12, makers.curve_polygon(ARC))), "GeoPackage")
    assert [one.geom_type for one in found] == ["Point", "LineString", "MultiPolygon"]
    (notice,) = load.shape_notices("odd", 3, report)
    assert (notice.code, notice.layer, notice.count, notice.example) == (
        "curves-drawn-straight", "odd", 2, "feature 2",
    )  # fmt: skip


def test_a_collection_too_deep_for_any_reader_is_drawn(geopackage):
    nested = struct.pack("<B2I", 1, 7, 1) * 60_000 + shapely.to_wkb(shapely.Point(1, 2))
    found, _ = streamed(geopackage(nested), "GeoPackage")
    assert [one.geom_type for one in found] == ["Point", "MultiPoint"]


def test_a_geopackage_in_the_other_byte_order_is_read(geopackage):
    found, _ = streamed(geopackage(shapely.to_wkb(shapely.Point(0, 0), byte_order=0)), "GeoPackage")
    assert found[0] == found[1]


def test_heights_and_measures_of_a_geopackage_are_dropped_and_said(geopackage):
    line = shapely.to_wkb(
        shapely.from_wkt("LINESTRING ZM (1 2 0 4, 5 6 0 8)"), output_dimension=4, flavor="iso"
    )
    found, report = streamed(geopackage(line), "GeoPackage")
    assert shapely.get_coordinate_dimension(found).tolist() == [2, 2]
    assert [notice.code for notice in load.shape_notices("odd", 2, report)] == ["z-dropped"]


def test_what_cannot_be_read_is_said(geopackage):
    found, report = streamed(geopackage(b"\1\2\0\0\0\xff\0\0\0"), "GeoPackage")
    assert found[1] is None
    assert [notice.code for notice in load.shape_notices("odd", 2, report)] == ["geometry-unreadable"]
