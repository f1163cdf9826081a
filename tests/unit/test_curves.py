"""Curves, surfaces and collections made flat."""

from __future__ import annotations

import struct

import makers
import numpy as np
import pytest
import shapely

from ckanext.hdxjobs.geopreview.curves import NotWkbError, flatten, straight

ARC = makers.curve(8, [(0, 0), (1, 1), (2, 0)])
LINE = makers.curve(2, [(2, 0), (3, 0)])
TRIANGLE = makers.wkb_of(17, struct.pack("<2I8d", 1, 4, 0, 0, 1, 0, 1, 1, 0, 0))


def flat(blob):
    return shapely.from_wkb(flatten(blob).blob)


def test_an_arc_stays_on_its_circle():
    vertices = shapely.get_coordinates(flat(ARC))
    assert np.hypot(*(vertices - [1, 0]).T) == pytest.approx(1)


def test_an_arc_is_drawn_in_steps_of_at_most_four_degrees():
    vertices = shapely.get_coordinates(flat(ARC))
    assert np.linalg.norm(np.diff(vertices, axis=0), axis=1).max() <= 2 * np.sin(np.radians(2)) + 1e-12
    assert len(vertices) == 47


def test_an_arc_passes_exactly_through_its_vertices():
    vertices = shapely.get_coordinates(flat(ARC)).tolist()
    assert [vertices[0], vertices[23], vertices[-1]] == [[0, 0], [1, 1], [2, 0]]


def test_an_arc_may_be_the_longer_part_of_its_circle():
    line = shapely.linestrings(straight(np.array([(0, 0), (-1, 1), (0, 0.001)])))
    assert line.length == pytest.approx(2 * np.pi, rel=0.01)


def test_an_arc_far_from_the_origin_is_as_round():
    at = np.array([500_000, 9_800_000])
    vertices = straight(np.array([(0, 0), (1, 1), (2, 0)]) + at)
    assert np.hypot(*(vertices - at - [1, 0]).T) == pytest.approx(1, abs=1e-8)


def test_an_arc_that_ends_where_it_begins_is_a_circle():
    (ring,) = shapely.get_rings(flat(makers.curve_polygon(makers.curve(8, [(0, 0), (2, 0), (0, 0)]))))
    assert shapely.polygons(ring).area == pytest.approx(np.pi, rel=0.001)


def test_three_vertices_in_a_row_are_a_straight_line():
    assert straight(np.array([(0.0, 0.0), (1, 1), (2, 2)])).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_string_of_arcs_without_its_last_vertex_ends_straight():
    assert straight(np.array([(0.0, 0.0), (1, 1)])).tolist() == [[0, 0], [1, 1]]


def test_a_compound_curve_is_one_line():
    line = flat(makers.container(9, ARC, LINE))
    assert line.geom_type == "LineString"
    assert (line.coords[0], line.coords[-1]) == ((0, 0), (3, 0))
    assert line.is_simple


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        (makers.container(11, ARC, LINE), "MultiLineString"),
        (makers.container(12, makers.curve_polygon(ARC)), "MultiPolygon"),
        (TRIANGLE, "Polygon"),
        (makers.container(16, TRIANGLE, TRIANGLE), "MultiPolygon"),
        (makers.container(15, TRIANGLE), "MultiPolygon"),
        (makers.container(7, ARC, TRIANGLE), "GeometryCollection"),
        (makers.container(7, ARC), "MultiLineString"),
    ],
)
def test_what_geos_does_not_know_becomes_what_it_knows(blob, expected):
    assert flat(blob).geom_type == expected
    assert flatten(blob).replaced


def test_a_collection_of_any_depth_is_flat():
    blob = struct.pack("<B2I", 1, 7, 1) * 100_000 + shapely.to_wkb(shapely.Point(1, 2))
    assert flat(blob).wkt == "MULTIPOINT ((1 2))"


def test_a_mixed_collection_keeps_all_its_parts_in_order():
    nested = (
        "GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (LINESTRING (1 2, 3 4), MULTIPOINT (5 6, 7 8)))"
    )
    assert flat(shapely.to_wkb(shapely.from_wkt(nested))).wkt == (
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (1 2, 3 4), POINT (5 6), POINT (7 8))"
    )


@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("flavor", ["iso", "extended"])
def test_all_spellings_of_a_type_are_read(byte_order, flavor):
    shape = shapely.from_wkt("GEOMETRYCOLLECTION ZM (POINT ZM (1 2 3 4), LINESTRING ZM (1 2 3 4, 5 6 7 8))")
    found = flatten(shapely.to_wkb(shape, output_dimension=4, byte_order=byte_order, flavor=flavor))
    assert shapely.from_wkb(found.blob).wkt == "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (1 2, 5 6))"
    assert found.heights


def test_an_srid_inside_is_passed_over():
    assert (
        flat(shapely.to_wkb(shapely.set_srid(shapely.Point(1, 2), 4326), include_srid=True)).wkt
        == "POINT (1 2)"
    )


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        ([(0, 0)], [(0, 0)] * 4),
        ([(0, 0), (1, 0)], [(0, 0), (1, 0), (0, 0), (0, 0)]),
        ([(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 0), (1, 1), (0, 0)]),
    ],
)
def test_a_ring_is_closed_and_long_enough(ring, expected):
    assert shapely.get_coordinates(
        flat(makers.wkb_of(3, struct.pack("<I", 1) + makers.vertices(ring)))
    ).tolist() == [list(vertex) for vertex in expected]


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        ([[(0, 0), (1, 0), (1, 1), (0, 0)], []], "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        ([[], [(0, 0), (1, 0), (1, 1), (0, 0)]], "POLYGON EMPTY"),
    ],
)
def test_rings_without_a_vertex_are_left_out(rings, expected):
    body = b"".join(makers.vertices(np.reshape(ring, (-1, 2))) for ring in rings)
    assert flat(makers.wkb_of(3, struct.pack("<I", 2) + body)).wkt == expected


def test_a_line_of_one_vertex_stays_visible():
    assert flat(makers.curve(2, [(1, 2)])).wkt == "LINESTRING (1 2, 1 2)"


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\1\1\0\0",
        b"\1\xff\xff\xff\xff",
        makers.container(7, ARC)[:-1],
        b"\1\7\0\0\0\xff\xff\xff\xff",
        makers.container(9, TRIANGLE),
        makers.curve_polygon(TRIANGLE),
    ],
)
def test_what_nobody_can_read_is_refused(blob):
    with pytest.raises(NotWkbError):
        flatten(blob)
