"""Shapes around the antimeridian and the poles."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from ckanext.hdxjobs.geopreview import seam


def same(source):
    return source


def from_crs(code):
    move = pyproj.Transformer.from_crs(code, "EPSG:4326", always_xy=True)
    return lambda source: np.column_stack(move.transform(*source.T))


def pieces(shape, degrees=same):
    """The pieces from west to east."""
    shape = shapely.from_wkt(shape) if isinstance(shape, str) else shape
    return sorted(seam.within_world(shape, degrees), key=lambda piece: piece.bounds)


def wkts(shape):
    return [shapely.to_wkt(piece, rounding_precision=6) for piece in pieces(shape)]


def circle(radius, *, centre=(0, 0), steps=72):
    angle = np.linspace(0, 2 * np.pi, steps + 1)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * radius + centre
    ring[-1] = ring[0]
    return ring


def test_a_line_that_jumps_is_cut_where_it_crosses():
    assert wkts("LINESTRING (179 0, -179 2)") == ["LINESTRING (-180 1, -179 2)", "LINESTRING (179 0, 180 1)"]


def test_a_line_that_goes_on_beyond_180_is_cut_too():
    assert wkts("LINESTRING (177 -19, 183 -16)") == [
        "LINESTRING (-180 -17.5, -177 -16)",
        "LINESTRING (177 -19, 180 -17.5)",
    ]


def test_a_track_keeps_its_course_on_both_sides():
    assert wkts("LINESTRING (178 0, 179 0, -179 0, -178 1, -179 2, 179 2)") == [
        "LINESTRING (-180 0, -179 0, -178 1, -179 2, -180 2)",
        "LINESTRING (178 0, 179 0, 180 0)",
        "LINESTRING (180 2, 179 2)",
    ]


def test_a_line_that_was_cut_with_a_jump_from_edge_to_edge_is_no_line_across_the_world():
    lengths = [piece.length for piece in pieces("LINESTRING (179 0, 180 0, -180 0, -179 0)")]
    assert lengths == [1, 1]


@pytest.mark.parametrize(
    "wkt",
    [
        "LINESTRING (-180 10, 180 10)",
        "LINESTRING (139 35, -118 34)",
        "LINESTRING (-50 -10, 139 35)",
        "LINESTRING (-170 -10, 170 -10, 170 10, -170 10, -170 -10)",
        "LINESTRING (-180 -90, 180 -90)",
        "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))",
        "POLYGON ((-170 -10, 170 -10, 170 10, -170 10, -170 -10))",
        "POLYGON ((-180 -80, -60 -70, 60 -75, 180 -80, 180 -90, -180 -90, -180 -80))",
        "POLYGON ((-180 -80, -60 -70, 60 -75, 180 -80, 180 -86, -180 -86, -180 -80))",
    ],
)
def test_long_edges_that_are_meant_stay(wkt):
    assert wkts(wkt) == [shapely.to_wkt(shapely.from_wkt(wkt), rounding_precision=6)]


@pytest.mark.parametrize(
    "wkt",
    [
        "LINESTRING (174.8 -36.8, -118 34)",
        "POLYGON ((177 -16, -178 -17, -178 -19, 177 -19, 177 -16))",
        "POLYGON ((177 -16, 182 -17, 182 -19, 177 -19, 177 -16))",
        "POLYGON ((-183 -16, -178 -17, -178 -19, -183 -19, -183 -16))",
    ],
)
def test_what_crosses_lies_on_both_sides_and_not_between(wkt):
    west, east = pieces(wkt)
    assert (west.bounds[0], east.bounds[2]) == (-180, 180)
    assert west.bounds[2] < -110
    assert east.bounds[0] > 170


def test_both_sides_of_a_polygon_agree_about_the_antimeridian():
    west, east = pieces("POLYGON ((177 -16, -178 -17, -178 -19, 177 -19, 177 -16))")
    on_west, on_east = (
        sorted(lat for lon, lat in piece.exterior.coords[:-1] if abs(lon) == 180) for piece in (west, east)
    )
    assert on_west == pytest.approx(on_east)
    assert on_west == pytest.approx([-19, -16.6])


def test_holes_stay_holes_on_whatever_side_they_are_written():
    shell = "(170 -20, -170 -20, -170 -10, 171 -10, 170 -20)"
    crossing, east, west = (
        "(179 -14, -179 -14, -179 -15, 179 -14)",
        "(172 -12, 173 -12, 173 -13, 172 -12)",
        "(-175 -12, -174 -12, -174 -13, -175 -12)",
    )
    found = pieces(f"POLYGON ({shell}, {crossing}, {east}, {west})")
    assert sum(piece.area for piece in found) == pytest.approx(20 * 10 - 5 - 1 - 0.5 - 0.5)
    assert [len(piece.interiors) for piece in found] == [1, 1]


def test_a_shape_across_greenwich_in_longitudes_to_360_is_one():
    (piece,) = pieces("POLYGON ((350 0, 359 0, 1 1, 10 10, 350 0))")
    assert piece.bounds == (-10, 0, 10, 10)


def test_the_world_from_0_to_360_is_the_world():
    (piece,) = pieces("POLYGON ((0 -90, 360 -90, 360 90, 0 90, 0 -90))")
    assert (piece.bounds, piece.area) == ((-180, -90, 180, 90), 360 * 180)


def test_a_shape_of_another_turn_is_moved_whole():
    assert wkts("POLYGON ((200 0, 210 0, 210 10, 200 0))") == ["POLYGON ((-160 0, -150 0, -150 10, -160 0))"]


@pytest.mark.parametrize(
    "wkt",
    [
        "POLYGON ((179 0, -179 1, -179 -1, 179 0), (179 0, -179 1, -179 -1, 179 0))",
        "POLYGON ((180 0, 180 0, 180 0, 180 0))",
        "POLYGON ((179 0, -179 0, 179 0, 179 0))",
    ],
)
def test_what_encloses_nothing_is_not_lost(wkt):
    assert pieces(wkt)


def test_a_cap_with_a_hole_that_covers_it_is_not_empty():
    cap = shapely.Polygon(circle(100, centre=(300, 0)), [circle(500)])
    assert not any(piece.is_empty for piece in pieces(cap, from_crs("EPSG:3031")))


def test_a_bow_tie_across_the_antimeridian_keeps_its_area():
    found = pieces("POLYGON ((175 -10, -175 10, -175 -10, 175 10, 175 -10))")
    assert sum(piece.area for piece in found) == pytest.approx(100)


@pytest.mark.parametrize(
    ("code", "pole", "edge"), [("EPSG:3031", -90, -71.7), ("EPSG:3995", 90, 71.7), ("EPSG:3413", 90, 71.7)]
)
@pytest.mark.parametrize("direction", [1, -1])
def test_a_ring_around_a_pole_is_filled_to_the_pole(code, pole, edge, direction):
    (piece,) = pieces(shapely.Polygon(circle(2_000_000)[::direction]), from_crs(code))
    assert piece.is_valid
    assert sorted((piece.bounds[1], piece.bounds[3])) == pytest.approx(sorted((pole, edge)), abs=0.1)
    assert (piece.bounds[0], piece.bounds[2]) == (-180, 180)
    assert piece.area == pytest.approx(360 * (90 - 71.7), rel=0.01)


def test_a_hole_around_a_pole_leaves_a_ring():
    ring = shapely.Polygon(circle(2_000_000), [circle(500_000)])
    (piece,) = pieces(ring, from_crs("EPSG:3031"))
    assert piece.bounds[1] == pytest.approx(-85.4, abs=0.1)


def test_a_ring_around_a_pole_in_degrees_is_filled_too():
    ring = [(lon, -70 + lon % 7) for lon in range(-175, 180, 5)]
    (piece,) = pieces(shapely.Polygon(ring))
    assert piece.bounds[1] == -90
    assert piece.contains(shapely.Point(179.9, -80))


def test_a_cap_beside_the_pole_is_not_filled_to_the_pole():
    cap = shapely.Polygon(circle(200_000, centre=(1_000_000, 0)))
    assert max(piece.bounds[3] for piece in pieces(cap, from_crs("EPSG:3995"))) < 83


def test_a_circle_around_the_pole_as_a_line_goes_once_around_the_map():
    found = pieces(shapely.LineString(circle(2_000_000)), from_crs("EPSG:3995"))
    assert sum(piece.length for piece in found) == pytest.approx(360)


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("EPSG:3832", (3_000_000, -2_000_000, 4_000_000, -1_000_000)),
        ("EPSG:32701", (100_000, 8_000_000, 300_000, 8_200_000)),
        ("EPSG:32760", (700_000, 8_000_000, 900_000, 8_200_000)),
        ("EPSG:2193", (1_900_000, 5_000_000, 2_600_000, 6_000_000)),
        ("EPSG:3857", (19_800_000, -2_000_000, 20_400_000, -1_900_000)),
        ("+proj=eqc +lon_0=180 +datum=WGS84", (-1_000_000, -1_000_000, 1_000_000, 1_000_000)),
    ],
)
def test_a_projection_that_goes_on_across_the_antimeridian_is_cut_there(code, box):
    west, east = pieces(shapely.box(*box), from_crs(code))
    assert (west.bounds[0], east.bounds[2]) == (-180, 180)
    assert west.bounds[2] < -170
    assert east.bounds[0] > 165


@pytest.mark.parametrize("code", ["EPSG:3857", "EPSG:3395", "EPSG:4087", "ESRI:54030"])
def test_a_box_around_the_world_of_a_map_projection_stays_one(code):
    box = shapely.box(-16_900_000, -1_000_000, 16_900_000, 1_000_000)
    (piece,) = pieces(box, from_crs(code))
    assert piece.bounds[2] - piece.bounds[0] > 300


def test_a_long_line_of_a_pacific_projection_takes_the_way_across_the_pacific():
    found = pieces(shapely.LineString([(-8_000_000, 0), (9_000_000, 0)]), from_crs("EPSG:3832"))
    assert [piece.bounds[0] for piece in found] == [-180, pytest.approx(78.1, abs=0.1)]


def test_a_huge_tangle_is_drawn_although_geos_would_take_long():
    ring = np.random.default_rng(3).uniform([170, -20], [190, 20], (60_000, 2))
    ring[-1] = ring[0]
    found = pieces(shapely.Polygon(ring))
    assert found
    assert all(-180 <= piece.bounds[0] <= piece.bounds[2] <= 180 for piece in found)
