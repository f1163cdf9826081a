"""Large shapes cut along the tile grid, checked against GEOS."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from ckanext.hdxjobs.geopreview import cutting, transfer
from ckanext.hdxjobs.geopreview.cutting import Kind

WORLD = 2e7


def parts(*shapes):
    """The parts of shapes, of one kind."""
    (found,) = transfer.parts_of(np.array(shapes, dtype=object), np.arange(len(shapes)), 0)
    return found


def whole(found):
    """Parts as shapes again, one for each tile and feature."""
    blobs, _, _ = transfer.shapes_of(found)
    return shapely.from_wkb(blobs)


def blob(points, seed, at=(0, 0), size=WORLD / 2):
    """A wiggly star-shaped polygon."""
    random = np.random.default_rng(seed)
    angle = np.sort(random.uniform(0, 2 * np.pi, points))
    radius = size * random.uniform(0.4, 1, points)
    return shapely.polygons(np.column_stack([at[0] + radius * np.cos(angle), at[1] + radius * np.sin(angle)]))


def quarters_of(shape):
    zero = np.zeros(1, np.int64)
    return cutting.split(parts(shape), zero, zero, 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_polygon_is_cut_as_geos_cuts_it(seed):
    shape = blob(200, seed)
    found = quarters_of(shape)
    west, south, east, north = cutting.tile_edges(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), 1)
    for tile in range(4):
        box = shapely.box(west[tile], south[tile], east[tile], north[tile])
        (mine,) = whole(found.take(np.flatnonzero(found.tile == tile)))
        assert mine.area == pytest.approx(shape.intersection(box).area, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_a_line_is_cut_as_geos_cuts_it(seed):
    shape = shapely.get_exterior_ring(blob(200, seed))
    found = quarters_of(shapely.linestrings(shapely.get_coordinates(shape)))
    west, south, east, north = cutting.tile_edges(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), 1)
    for tile in range(4):
        box = shapely.box(west[tile], south[tile], east[tile], north[tile])
        (mine,) = whole(found.take(np.flatnonzero(found.tile == tile)))
        assert mine.length == pytest.approx(shape.intersection(box).length, rel=1e-9)


def test_points_go_to_their_tiles():
    spots = shapely.multipoints([[-1e7, 1e7], [1e7, 1e7], [1e7, -1e7]])
    assert sorted(quarters_of(spots).tile.tolist()) == [0, 1, 3]


def test_holes_stay_holes():
    shape = shapely.box(-1e7, -1e7, 1e7, 1e7).difference(shapely.box(-5e6, -5e6, 5e6, 5e6))
    pieces = whole(quarters_of(shape))
    assert [piece.contains(shapely.points(2e6, 2e6)) for piece in pieces] == [False] * 4


def test_a_hole_without_its_shell_is_left_out():
    ring = parts(shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 5, 5)))
    orphan = ring.take(np.array([1]))
    assert len(cutting.ordered(orphan)) == 0


def test_a_ring_that_starts_outside_is_closed_again():
    ring = shapely.polygons([[-2e7, 0], [1e7, -1e6], [1e7, 1e6], [-2e7, 0]])
    found = cutting.cut(parts(ring), axis=0, limits=np.array([5e6]), below=False)
    assert found.xy[0].tolist() == found.xy[-1].tolist()


def test_rings_that_cross_themselves_are_cut_too():
    bow = shapely.polygons([[-1e7, -1e7], [1e7, 1e7], [1e7, -1e7], [-1e7, 1e7], [-1e7, -1e7]])
    assert sorted(set(quarters_of(bow).tile.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(4))
def test_a_border_that_two_share_is_cut_and_thinned_alike(seed):
    random = np.random.default_rng(seed)
    border = np.column_stack([random.uniform(-1e6, 1e6, 500), np.linspace(-1.5e7, 1.5e7, 500)])
    west = shapely.polygons([*border, [-1.5e7, 1.5e7], [-1.5e7, -1.5e7]])
    east = shapely.polygons([*border[::-1], [1.5e7, -1.5e7], [1.5e7, 1.5e7]])
    both = parts(west, east)
    zero = np.zeros(1, np.int64)
    cut = cutting.split(both, zero, zero, 0)
    thin = cutting.decimate(cut, 2e5)
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
    thin = cutting.decimate(parts(shape), 1e5)
    (result,) = whole(thin)
    assert len(thin.xy) < 2_000
    assert shapely.hausdorff_distance(shape, result) < 1e5


def test_a_shape_inside_one_cell_survives_thinning():
    assert len(cutting.decimate(parts(shapely.box(1, 1, 2, 2)), 1e6).xy) == 5


def test_nothing_cut_gives_nothing():
    far = parts(shapely.box(1, 1, 2, 2))
    none = cutting.cut(far, axis=0, limits=np.array([0.0]), below=True)
    assert len(none) == 0
    assert len(cutting.cut(none, axis=1, limits=np.zeros(0), below=True)) == 0


@pytest.mark.parametrize("kind", list(Kind))
def test_parts_come_back_as_the_shapes_they_were(kind):
    shapes = {
        Kind.POINT: shapely.multipoints([[1, 2], [3, 4]]),
        Kind.LINE: shapely.from_wkt("MULTILINESTRING ((1 2, 3 4), (5 6, 7 8, 9 1))"),
        Kind.RING: shapely.multipolygons(
            [shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 5, 5)), shapely.box(20, 0, 25, 9)]
        ),
    }
    (again,) = whole(parts(shapes[kind]))
    assert shapely.equals(again, shapes[kind])


def test_a_collection_falls_into_its_kinds():
    mixed = shapely.geometrycollections(
        [shapely.points(1, 1), shapely.linestrings([[0, 0], [1, 1]]), shapely.box(0, 0, 1, 1)]
    )
    found = list(transfer.parts_of(np.array([mixed], dtype=object), np.array([5]), 0))
    assert [(item.kind, item.feature.tolist()) for item in found] == [
        (Kind.POINT, [5]), (Kind.LINE, [5]), (Kind.RING, [5]),
    ]  # fmt: skip


def test_a_ring_of_many_vertices_inside_one_cell_keeps_a_few_from_all_around_it():
    thin = cutting.decimate(parts(shapely.Point(5, 5).buffer(3, quad_segs=200)), 1e6)
    (shape,) = whole(thin)
    assert len(thin.xy) == cutting.MARKED
    assert shape.area > 20
