"""Geometry on its way to the map."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

from ckanext.hdxjobs.geopreview.shapes import Shapes, common_type


def take(*wkts, crs="EPSG:4326"):
    shapes = Shapes(pyproj.CRS(crs))
    blobs = [None if wkt is None else shapely.to_wkb(shapely.from_wkt(wkt)) for wkt in wkts]
    taken = shapes.take(np.arange(len(blobs)), pa.array(blobs, pa.binary()))
    return [None if blob is None else shapely.from_wkb(blob) for blob in taken.to_pylist()], shapes.report()


def test_degrees_become_metres_as_proj_says():
    wkt = "LINESTRING (-170 -80, 0 0, 36.8219 -1.2921, 179.9 84)"
    (line,), _ = take(wkt)
    move = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    expected = np.column_stack(move.transform(*shapely.get_coordinates(shapely.from_wkt(wkt)).T))
    assert shapely.get_coordinates(line) == pytest.approx(expected, abs=1e-6)
    assert shapely.get_srid(line) == 3857


def test_heights_are_dropped_and_noted():
    (point,), report = take("POINT Z (1 2 3)")
    assert not shapely.has_z(point)
    assert report["has_z"]


def test_heights_that_are_all_zero_are_not_worth_a_word():
    """Google Earth writes a zero after each pair of coordinates."""
    (point, _), report = take("POINT Z (1 2 0)", "LINESTRING Z (1 2 0, 3 4 0)")
    assert not shapely.has_z(point)
    assert not report["has_z"]


def test_null_and_empty_count_as_missing():
    taken, report = take("POINT (1 2)", None, "POINT EMPTY", "POLYGON EMPTY")
    assert [shape is None for shape in taken] == [False, True, True, True]
    assert report["missing"] == {"count": 3, "example": "feature 1"}
    assert report["drawable_count"] == 1


@pytest.mark.parametrize(
    "wkt",
    [
        "POINT (0 91)",
        "POINT (181 0)",
        "POINT (400 0)",
        "POINT (inf 0)",
        "LINESTRING (0 0, 0 95)",
        "POINT (1e308 1e308)",
    ],
)
def test_what_cannot_be_on_earth_is_dropped_and_counted(wkt):
    taken, report = take(wkt, "POINT (1 2)")
    assert taken[0] is None
    assert report["out_of_range"]["count"] == 1
    assert report["bbox_lonlat"] == [1, 2, 1, 2]


def test_rounding_noise_at_the_edges_is_forgiven():
    taken, report = take("POINT (180.0000001 90.0000001)")
    assert taken[0] is not None
    assert report["bbox_lonlat"] == [180, 90, 180, 90]


def test_a_shape_over_the_antimeridian_stays_whole():
    taken, report = take("LINESTRING (177 -19, 183 -16)")
    assert taken[0] is not None
    assert report["bbox_lonlat"] == [177, -19, 180, -16]


def test_the_poles_go_to_the_edge_of_the_map():
    (point,), _ = take("POINT (0 -90)")
    assert abs(shapely.get_y(point)) < 20_050_000


def test_projected_points_outside_their_zone_do_not_stop_the_batch():
    taken, report = take("POINT (500000 9800000)", "POINT (1e30 1e30)", crs="EPSG:32737")
    assert [shape is None for shape in taken] == [False, True]
    assert report["out_of_range"]["example"].startswith("feature 1 at 1e+30")


def test_a_ring_that_is_open_is_closed_and_counted():
    ring = b"\1" + (3).to_bytes(4, "little") + (1).to_bytes(4, "little") + (3).to_bytes(4, "little")
    ring += np.array([[0, 0], [1, 0], [1, 1]], "<f8").tobytes()
    shapes = Shapes(pyproj.CRS("EPSG:4326"))
    taken = shapes.take(np.array([7]), pa.array([ring], pa.binary()))
    assert taken.null_count == 0
    assert shapes.report()["repaired"] == {"count": 1, "example": "feature 7"}


def test_what_no_one_can_read_is_counted():
    shapes = Shapes(pyproj.CRS("EPSG:4326"))
    taken = shapes.take(np.array([0]), pa.array([b"\1\xff\xff\xff\xff"], pa.binary()))
    assert taken.null_count == 1
    assert shapes.report()["unreadable"]["count"] == 1


def test_an_empty_batch_is_an_empty_batch():
    assert take() == (
        [],
        {
            "drawable_count": 0, "bbox_lonlat": None, "geometry_type": "None", "has_z": False,
            **{key: {"count": 0, "example": ""} for key in ("missing", "out_of_range", "repaired", "unreadable")},
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (set(), "None"),
        ({"Point"}, "Point"),
        ({"Polygon", "MultiPolygon"}, "MultiPolygon"),
        ({"Point", "Polygon"}, "Geometry"),
        ({"GeometryCollection"}, "GeometryCollection"),
    ],
)
def test_a_layers_type_is_one_word(names, expected):
    assert common_type(names) == expected
