"""Geometry on its way to the map."""

from __future__ import annotations

import makers
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely
import shapely.affinity

from ckanext.hdxjobs.geopreview.books import common_type
from ckanext.hdxjobs.geopreview.shapes import Shapes


def take(*wkts, crs="EPSG:4326"):
    return take_wkb(
        *(None if wkt is None else shapely.to_wkb(shapely.from_wkt(wkt), output_dimension=4) for wkt in wkts),
        crs=crs,
    )


def take_wkb(*blobs, crs="EPSG:4326"):
    shapes = Shapes(pyproj.CRS(crs))
    taken = shapes.take(np.arange(len(blobs)), pa.array(blobs, pa.binary()))
    return [None if blob is None else shapely.from_wkb(blob) for blob in taken.to_pylist()], shapes.report()


def degrees(shape):
    """What was taken, back in degrees, to a hair."""
    back = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    moved = shapely.transform(shape, lambda xy: np.column_stack(back.transform(*xy.T)))
    return shapely.to_wkt(moved, rounding_precision=7)


def counts(report):
    return {key: said["count"] for key, said in report.items() if isinstance(said, dict) and said["count"]}


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
        "POINT (0 NaN)",
        "POINT (361 0)",
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


def test_a_shape_over_the_antimeridian_lies_on_both_sides():
    (line,), report = take("LINESTRING (177 -19, 183 -16)")
    assert degrees(line).startswith("MULTILINESTRING ((177 -19, 180 -17.5")
    assert report["bbox_lonlat"] == [177, -19, -177, -16]
    assert report["geometry_type"] == "MultiLineString"


def test_a_layer_that_counts_longitudes_to_360_is_moved():
    taken, report = take(
        "POINT (200 10)", "POLYGON ((200 10, 201 10, 201 11, 200 10))", "MULTIPOINT (10 10, 359 10)"
    )
    assert [degrees(shape) for shape in taken] == [
        "POINT (-160 10)",
        "POLYGON ((-160 10, -159 10, -159 11, -160 10))",
        "MULTIPOINT ((10 10), (-1 10))",
    ]
    assert counts(report) == {}


@pytest.mark.parametrize("wkt", ["POINT (180 0)", "POINT (-180 0)", "LINESTRING (180 0, 180 1)"])
def test_what_lies_on_the_antimeridian_stays_on_its_side(wkt):
    (shape,), _ = take(wkt)
    assert degrees(shape) == shapely.to_wkt(shapely.from_wkt(wkt))


def test_a_shape_in_a_multi_is_cut_and_its_siblings_stay():
    multi = "MULTIPOLYGON (((179 0, -179 0.5, -179 1, 179 0)), ((10 0, 11 0, 11 1, 10 0)))"
    (shape,), report = take(multi)
    assert sorted(round(part.centroid.x / 111_319.5) for part in shape.geoms) == [-179, 11, 180]
    assert counts(report) == {}


def test_the_poles_go_to_the_edge_of_the_map():
    (point,), _ = take("POINT (0 -90)")
    assert abs(shapely.get_y(point)) < 20_050_000


def test_projected_points_outside_their_zone_do_not_stop_the_batch():
    taken, report = take("POINT (500000 9800000)", "POINT (1e30 1e30)", crs="EPSG:32737")
    assert [shape is None for shape in taken] == [False, True]
    assert report["out_of_range"]["example"].startswith("feature 1 at 1e+30")


@pytest.mark.parametrize(
    ("wkt", "beyond"),
    [
        ("POINT (0 -90)", 1),
        ("MULTIPOINT (0 90, 10 89)", 1),
        ("POINT (0 85)", 0),
        ("LINESTRING (0 80, 0 90)", 0),
        ("POLYGON ((0 -90, 10 -90, 10 -80, 0 -90))", 0),
    ],
)
@pytest.mark.parametrize("flag", ["", "GEOMETRYCOLLECTION"])
def test_what_lies_beyond_the_map_as_a_whole_is_counted(wkt, beyond, flag):
    _, report = take(f"{flag} ({wkt})" if flag else wkt)
    assert report["beyond_map"]["count"] == beyond


def test_antarctica_in_its_own_projection_reaches_the_edge_of_the_map():
    angle = np.linspace(0, 2 * np.pi, 73)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * 2_000_000
    ring[-1] = ring[0]
    (shape,), report = take(shapely.Polygon(ring).wkt, crs="EPSG:3031")
    assert shape.bounds[:2] == pytest.approx((-20_037_508, -20_048_966), abs=2)
    assert report["bbox_lonlat"] == pytest.approx([-180, -90, 180, -71.7], abs=0.1)


@pytest.mark.parametrize(
    ("bad", "left"),
    [
        ("MULTIPOINT (1 2, 3 91)", "MULTIPOINT ((1 2))"),
        ("MULTILINESTRING ((1 2, 3 4), (5 6, 7 800))", "MULTILINESTRING ((1 2, 3 4))"),
        ("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, inf 0))", "MULTIPOINT ((1 2))"),
    ],
)
def test_good_parts_of_a_shape_stay_and_the_loss_is_counted(bad, left):
    (shape,), report = take(bad)
    assert degrees(shape) == left or shape.geom_type == "GeometryCollection"
    assert counts(report) == {"parts_out_of_range": 1}


def test_empty_parts_are_left_out_and_counted_as_a_repair():
    (shape,), report = take("MULTIPOINT (EMPTY, (1 2))")
    assert degrees(shape) == "MULTIPOINT ((1 2))"
    assert report["repaired"] == {"count": 1, "example": "feature 0"}


def test_a_point_of_no_numbers_is_an_empty_point():
    taken, report = take_wkb(b"\1\1\0\0\0" + np.array([np.nan, np.nan]).tobytes())
    assert (taken, counts(report)) == ([None], {"missing": 1})


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0), (1, 0), (1, 1)],
        [(0, 0), (1, 0)],
        [(0, 0), (1, 0), (0, 0)],
        [(0, 0)],
    ],
)
def test_a_ring_that_is_open_or_too_short_is_completed_and_counted(ring):
    taken, report = take_wkb(makers.wkb_of(3, b"\1\0\0\0" + makers.vertices(ring)))
    assert shapely.get_num_coordinates(taken[0]) >= 4
    assert report["repaired"] == {"count": 1, "example": "feature 0"}


def test_a_ring_of_one_place_is_left_as_it_is():
    (shape,), report = take("POLYGON ((5 5, 5 5, 5 5, 5 5))")
    assert degrees(shape) == "POLYGON ((5 5, 5 5, 5 5, 5 5))"
    assert counts(report) == {}


def test_a_bow_tie_is_left_to_the_tiles():
    wkt = "POLYGON ((0 0, 20 20, 20 0, 0 20, 0 0))"
    (shape,), report = take(wkt)
    assert degrees(shape) == wkt
    assert counts(report) == {}


def test_polygons_of_one_feature_that_overlap_become_one():
    (shape,), report = take("MULTIPOLYGON (((0 0, 2 0, 2 2, 0 2, 0 0)), ((1 1, 3 1, 3 3, 1 3, 1 1)))")
    assert (len(shape.geoms), shape.is_valid) == (1, True)
    assert counts(report) == {"repaired": 1}


def test_polygons_that_meet_too_often_are_left_as_they_are():
    comb = [(x // 2, (x + 1) // 2 % 2 * 500) for x in range(1000)]
    one = shapely.Polygon([*comb, (501, -1), (-1, -1)])
    other = shapely.transform(one, lambda xy: xy[:, ::-1])
    small = shapely.affinity.scale(shapely.MultiPolygon([one, other]), 0.1, 0.1, origin=(0, 0))
    (shape,), _ = take_wkb(shapely.to_wkb(small))
    assert len(shape.geoms) == 2


def test_curves_are_drawn_straight_and_counted():
    arc = makers.curve(8, [(0, 0), (1, 1), (2, 0)])
    taken, report = take_wkb(
        makers.curve(2, [(0, 0), (1, 1)]), arc, makers.container(7, makers.container(9, arc))
    )
    assert [shape.geom_type for shape in taken] == ["LineString", "LineString", "MultiLineString"]
    assert report["replaced"] == {"count": 2, "example": "feature 1"}
    assert report["repaired"]["count"] == 0


def test_a_triangulated_house_is_drawn_as_its_ground():
    floor = makers.wkb_of(3, b"\1\0\0\0" + makers.vertices([(0, 0), (2, 0), (2, 2), (0, 2), (0, 0)]))
    wall = makers.wkb_of(3, b"\1\0\0\0" + makers.vertices([(0, 0), (2, 0), (2, 0), (0, 0), (0, 0)]))
    (shape,), report = take_wkb(makers.container(15, floor, floor, wall))
    assert shape.area == pytest.approx(222_639**2, rel=0.01)
    assert counts(report) == {"replaced": 1}


@pytest.mark.parametrize(
    ("wkt", "expected"),
    [
        ("GEOMETRYCOLLECTION (POINT (1 2))", "MultiPoint"),
        ("GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 0))))", "MultiPolygon"),
        ("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))", "GeometryCollection"),
        ("GEOMETRYCOLLECTION (LINESTRING EMPTY)", "None"),
    ],
)
def test_a_collection_is_named_after_what_is_in_it(wkt, expected):
    assert take(wkt)[1]["geometry_type"] == expected


def test_a_collection_is_never_inside_another():
    (shape,), _ = take(
        "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (MULTIPOINT (1 2, 3 4)), LINESTRING (0 0, 1 1))"
    )
    assert [part.geom_type for part in shape.geoms] == ["Point", "Point", "LineString"]


@pytest.mark.parametrize("kind", ["M", "ZM", "Z"])
def test_measures_are_dropped_and_noted(kind):
    numbers = "1 2 3 4" if kind == "ZM" else "1 2 3"
    for wkt in (f"POINT {kind} ({numbers})", f"GEOMETRYCOLLECTION {kind} (POINT {kind} ({numbers}))"):
        (shape,), report = take(wkt)
        assert not shapely.has_z(shape)
        assert not shapely.has_m(shape)
        assert report["has_z"]


def test_vertices_are_counted():
    assert (
        take("POINT (1 2)", "LINESTRING (0 0, 1 1)", "GEOMETRYCOLLECTION (POINT (1 2))", "POINT (0 99)")[1][
            "vertex_count"
        ]
        == 4
    )


def test_a_batch_of_very_large_shapes_keeps_its_order():
    lines = [np.column_stack([np.linspace(n, n + 1, 1_000_000), np.full(1_000_000, n)]) for n in range(3)]
    taken, report = take_wkb(*(shapely.to_wkb(shapely.linestrings(line)) for line in lines), None)
    assert [shape and round(shape.bounds[0] / 111_319.5) for shape in taken] == [0, 1, 2, None]
    assert report["vertex_count"] == 3_000_000
    assert report["missing"] == {"count": 1, "example": "feature 3"}


def test_polygons_whose_boxes_overlap_but_not_they_stay_apart():
    apart = "MULTIPOLYGON (((0 0, 4 0, 0 4, 0 0)), ((4 4, 3 4, 4 3, 4 4)))"
    (shape,), report = take(apart)
    assert degrees(shape) == apart
    assert counts(report) == {}


def test_the_quick_way_and_the_thorough_way_agree():
    """Big-endian shapes take the thorough way."""
    random = np.random.default_rng(5)
    shapes = [random_shape(random, number % 7) for number in range(700)]
    quick, thorough = (
        take_wkb(*(shapely.to_wkb(shape, byte_order=order, output_dimension=4) for shape in shapes))
        for order in (1, 0)
    )
    assert quick == thorough


def random_shape(random, kind):
    lon, lat = random.uniform([-181, -91], [181, 91])
    spots = np.add(random.uniform(0, 2, (5, 2)), [lon, lat])
    if kind == 0:
        return shapely.Point(lon, lat)
    if kind == 1:
        return shapely.LineString(np.column_stack([spots, spots[:, 0]]))
    if kind == 2:
        return shapely.box(lon, lat, lon + 1, lat + 1) - shapely.box(
            lon + 0.2, lat + 0.2, lon + 0.5, lat + 0.7
        )
    if kind == 3:
        return shapely.MultiPoint(spots)
    if kind == 4:
        return shapely.MultiLineString([spots[:2], spots[2:]])
    boxes = [shapely.box(lon, lat, lon + 1, lat + 1), shapely.box(lon + 1.5, lat, lon + 2, lat + 1)]
    return shapely.MultiPolygon(boxes[: kind - 4])


def test_a_batch_in_a_projection_is_moved_as_a_whole():
    random = np.random.default_rng(6)
    corners = random.uniform([300_000, 9_000_000], [700_000, 9_900_000], (500, 2))
    taken, report = take(*(shapely.box(x, y, x + 500, y + 700).wkt for x, y in corners), crs="EPSG:32737")
    move = pyproj.Transformer.from_crs("EPSG:32737", "EPSG:3857", always_xy=True)
    expected = np.column_stack(move.transform(*corners.T))
    assert np.array([shape.exterior.coords[3] for shape in taken]) == pytest.approx(expected, abs=1e-3)
    assert report["drawable_count"] == 500


def test_what_no_one_can_read_is_counted():
    shapes = Shapes(pyproj.CRS("EPSG:4326"))
    taken = shapes.take(np.array([0]), pa.array([b"\1\xff\xff\xff\xff"], pa.binary()))
    assert taken.null_count == 1
    assert shapes.report()["unreadable"]["count"] == 1


def test_an_empty_batch_is_an_empty_batch():
    taken, report = take()
    assert taken == []
    assert counts(report) == {}
    assert (report["drawable_count"], report["vertex_count"]) == (0, 0)
    assert (report["bbox_lonlat"], report["geometry_type"]) == (None, "None")


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
