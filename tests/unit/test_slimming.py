"""Large shapes with no more vertices than a tile shows: nothing that is drawn may change."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from ckanext.hdxjobs.geopreview import cutting, slimming, transfer


def parts(*shapes):
    """The parts of shapes, of one kind."""
    (found,) = transfer.parts_of(np.array(shapes, dtype=object), np.arange(len(shapes)), 0)
    return found


def whole(found):
    """Parts as shapes again, one for each tile and feature."""
    return shapely.from_wkb(transfer.shapes_of(found).ewkb)


def wiggly(vertices, seed=1, size=1e6):
    """A star-shaped polygon around nowhere; metres."""
    random = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = size * (1 + 0.3 * np.sin(9 * angle) + 0.1 * random.uniform(-1, 1, vertices))
    return shapely.polygons(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))


def islets(count, size=10.0):
    """Squares in a row, far from each other; metres."""
    at = 3e6 + 1e4 * np.arange(count)
    return shapely.box(at, 0, at + size, size)


def drawn(shape, tolerance):
    """The rings that are left of a shape after Douglas and Peucker, as a set of texts."""
    rings = shapely.get_rings(shapely.get_parts(shape))
    rings = shapely.simplify(
        [shapely.linestrings(shapely.get_coordinates(ring)) for ring in rings],
        tolerance,
        preserve_topology=False,
    )
    return {ring.wkt for ring in rings if len(ring.coords) >= 4}


@pytest.mark.parametrize("seed", range(4))
def test_a_border_that_two_share_is_cut_and_thinned_alike(seed):
    random = np.random.default_rng(seed)
    border = np.column_stack([random.uniform(-1e6, 1e6, 500), np.linspace(-1.5e7, 1.5e7, 500)])
    west = shapely.polygons([*border, [-1.5e7, 1.5e7], [-1.5e7, -1.5e7]])
    east = shapely.polygons([*border[::-1], [1.5e7, -1.5e7], [1.5e7, 1.5e7]])
    both = parts(west, east)
    zero = np.zeros(1, np.int64)
    cut = cutting.split(both, zero, zero, 0)
    thin = slimming.decimate(cut, 2e5)
    assert len(thin.xy) < len(cut.xy)
    for tile in range(4):
        vertices = [
            {
                tuple(point)
                for number in np.flatnonzero((thin.tile == tile) & (thin.feature == feature))
                for point in thin.xy[thin.starts[number] : thin.starts[number + 1]].tolist()
                if abs(point[0]) < 1e6
            }
            for feature in (0, 1)
        ]
        assert len(vertices[0] ^ vertices[1]) <= 2  # where one ring begins and the other does not


def test_thinning_keeps_a_shape_within_the_cell():
    angle = np.linspace(0, 2 * np.pi, 20_001)
    shape = shapely.polygons(1e7 * np.column_stack([np.cos(angle), np.sin(angle)]))
    thin = slimming.decimate(parts(shape), 1e5)
    (result,) = whole(thin)
    assert len(thin.xy) < 2_000
    assert shapely.hausdorff_distance(shape, result) < 1e5


def test_a_shape_inside_one_cell_survives_thinning():
    assert len(slimming.decimate(parts(shapely.box(1, 1, 2, 2)), 1e6).xy) == 5


def test_a_ring_of_many_vertices_inside_one_cell_keeps_a_few_from_all_around_it():
    thin = slimming.decimate(parts(shapely.Point(5, 5).buffer(3, quad_segs=200)), 1e6)
    (shape,) = whole(thin)
    assert len(thin.xy) == slimming.MARKED
    assert shape.area > 20


def test_islets_beside_a_mainland_that_nobody_would_see_are_left_out():
    country = shapely.multipolygons([wiggly(50), *islets(100)])
    assert len(slimming.slim(parts(country), 100)) == 1


def test_islets_without_a_mainland_stay():
    assert len(slimming.slim(parts(shapely.multipolygons(islets(100))), 100)) == 100


def test_islets_of_one_tile_stay_where_the_mainland_lies_in_another():
    found = parts(shapely.multipolygons([wiggly(50), *islets(3)]))
    apart = cutting.replace(found, tile=np.array([0, 1, 1, 1]))
    assert len(slimming.slim(apart, 100)) == 4


def test_islets_that_are_seen_stay():
    country = shapely.multipolygons([wiggly(50), *islets(100, size=200)])
    assert len(slimming.slim(parts(country), 100)) == 101


def test_a_lake_goes_with_its_island_and_not_without():
    island = shapely.box(3e6, 0, 3e6 + 50, 50).difference(shapely.box(3e6 + 9, 9, 3e6 + 20, 20))
    lake = wiggly(50).difference(shapely.box(0, 0, 5e5, 5e5))
    found = slimming.slim(parts(shapely.multipolygons([lake, island])), 100)
    assert found.feature.tolist() == [0, 0]


@pytest.mark.parametrize("again", [1, 2, 8])
def test_simplifying_again_gives_what_simplifying_the_whole_gives(again):
    shape, tolerance = shapely.multipolygons([wiggly(5_000), *islets(100, size=5_000)]), 2_000.0
    found = parts(shape)
    thin = slimming.simplify(found, np.zeros(len(found), np.int64), np.full(len(found), tolerance))
    assert len(thin.xy) < 0.8 * len(found.xy)
    (slim,) = whole(thin)
    assert drawn(slim, again * tolerance) == drawn(shape, again * tolerance)


def test_a_shape_that_vanishes_as_a_whole_keeps_all_for_its_mark():
    flock = parts(shapely.multipolygons(islets(1_000)))
    thin = slimming.simplify(flock, np.zeros(len(flock), np.int64), np.full(len(flock), 100.0))
    assert len(thin) == 1_000


def test_small_shapes_are_left_as_they_are():
    shape = wiggly(500)
    (slim,) = whole(slimming.simplify(parts(shape), np.zeros(1, np.int64), np.array([1e5])))
    assert shapely.get_num_coordinates(slim) == shapely.get_num_coordinates(shape)


def test_a_shape_with_too_many_vertices_gets_coarser_as_a_tile_would_draw_it():
    shape, tolerance = wiggly(60_000), 10.0
    thin = slimming.simplify(parts(shape), np.zeros(1, np.int64), np.array([tolerance]))
    line = shapely.linestrings(shapely.get_coordinates(shape))
    while shapely.get_num_coordinates(line) > slimming.MANY:
        line, tolerance = shapely.simplify(line, tolerance, preserve_topology=False), 4 * tolerance
    # It is done in runs, so that it is not the same vertex by vertex.
    assert len(thin.xy) == pytest.approx(shapely.get_num_coordinates(line), rel=0.1)
    assert len(thin.xy) <= slimming.MANY


def test_a_country_of_too_many_islands_loses_those_that_a_coarser_tile_does_not_show():
    row, column = np.divmod(np.arange(4_000), 64)
    east, north = 3e6 + 1e3 * column, 1e3 * row
    islands = shapely.box(east, north, east + 250, north + 250)
    assert len(slimming.slim(parts(shapely.multipolygons([wiggly(50), *islands])), 100)) == 1
    assert len(slimming.slim(parts(shapely.multipolygons([wiggly(50), *islands[:1_000]])), 100)) == 1_001


def test_lines_keep_their_ends():
    line = shapely.linestrings(np.column_stack([np.linspace(0, 1e6, 5_000), np.tile([0, 1], 2_500)]))
    thin = slimming.slim(parts(line), 10)
    assert thin.xy.tolist() == [[0, 0], [1e6, 1]]


def test_points_are_left_as_they_are():
    spots = parts(shapely.multipoints(np.zeros((5, 2))))
    assert slimming.slim(spots, 10) is spots


@pytest.mark.parametrize("teeth", [9_999, 10_000, 10_001, 120_000])
def test_a_saw_of_any_length_is_simplified_and_ends_nothing(teeth):
    at = np.arange(teeth)
    saw = shapely.linestrings(np.column_stack([10.0 * at, 1e5 * (at % 2)]))
    found = slimming.simplify(parts(saw), np.zeros(1, np.int64), np.array([5.0]))
    assert found.xy[0].tolist() == [0.0, 0.0]
    assert found.xy[-1].tolist() == [10.0 * (teeth - 1), 1e5 * ((teeth - 1) % 2)]


def test_a_long_line_keeps_what_it_keeps_as_a_whole():
    at = np.arange(30_000.0)
    calm = shapely.linestrings(np.column_stack([at, 50 * np.sin(at / 200)]))
    thin = slimming.simplify(parts(calm), np.zeros(1, np.int64), np.array([1.0]))
    rest = shapely.linestrings(thin.xy)
    assert len(thin.xy) < 3_000
    # Twice the tolerance, because a long line is simplified twice.
    assert shapely.hausdorff_distance(calm, rest) <= 2.0
