"""Which tiles are heavy, and who is drawn in them."""

from __future__ import annotations

import numpy as np
import pytest

from ckanext.hdxjobs.geopreview import pyramid, thinning
from ckanext.hdxjobs.geopreview.pyramid import Budget

SIDE = 2**pyramid.GRID_BITS


def boxed(*columns):
    return pyramid.boxes(pyramid.Outline(*columns))


def some_points(count, seed=1):
    """Points in a few dense clusters."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0.1, 0.9, (20, 2))
    spots = centres[random.integers(0, 20, count)] + random.normal(0, 0.01, (count, 2))
    cells = (np.clip(spots, 0, 0.999) * SIDE).astype(np.int32)
    bounds = np.stack([cells[:, 0], cells[:, 1], cells[:, 0], cells[:, 1]])
    return boxed(np.arange(count), bounds, np.ones(count, np.int64), np.zeros(count, np.int64))


def some_squares(count, size, seed=2):
    random = np.random.default_rng(seed)
    corner = (random.uniform(0, 0.9, (2, count)) * SIDE).astype(np.int64)
    bounds = np.stack([*corner, *(corner + size)]).astype(np.int32)
    return boxed(np.arange(count), bounds, np.full(count, 5), np.full(count, 2))


def heavy_levels(everything, budget):
    counted = np.ones(len(everything), bool)
    crowd = pyramid.root(everything)
    while len(crowd.x):
        rows, vertices = pyramid.weights(crowd, everything, counted)
        crowd = pyramid.only(crowd, (rows > budget.rows) | (vertices > budget.vertices))
        if len(crowd.x):
            yield crowd
        crowd = pyramid.children(crowd, everything)


def test_everything_is_in_the_one_tile_of_zoom_0():
    crowd = pyramid.root(some_points(100))
    assert sorted(crowd.feature.tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("metres", "cell"), [(-2e7 - 4e4, 0), (0, SIDE // 2), (1e308, SIDE - 1), (np.nan, SIDE // 2)]
)
def test_any_coordinate_has_a_cell_on_the_grid(metres, cell):
    assert pyramid.to_grid(np.array([metres])).tolist() == [cell]


def test_a_feature_goes_to_each_child_that_its_box_touches():
    middle = np.array([[SIDE // 2 - 5], [10], [SIDE // 2 + 5], [20]], np.int32)
    everything = boxed(np.array([7]), middle, np.array([5]), np.array([2]))
    crowd = pyramid.children(pyramid.root(everything), everything)
    assert list(zip(crowd.x[crowd.tile], crowd.y[crowd.tile], strict=True)) == [(0, 0), (1, 0)]


def test_a_feature_in_the_margin_of_a_tile_counts_there_too():
    near = np.full((4, 1), SIDE // 2 + SIDE // 256, np.int32)
    everything = boxed(np.array([7]), near, np.array([1]), np.array([0]))
    assert len(pyramid.children(pyramid.root(everything), everything).tile) == 4


def test_points_and_small_shapes_never_walk():
    assert not pyramid.walkers(some_points(20_000), Budget(rows=100)).any()
    assert not pyramid.walkers(some_squares(20_000, 50), Budget(rows=100)).any()


def test_a_long_shape_walks_where_tiles_are_heavy():
    long = some_squares(500, SIDE // 10)
    assert np.count_nonzero(pyramid.walkers(long, Budget(rows=20))) > 400
    assert not pyramid.walkers(long, Budget(rows=500)).any()


def test_a_shape_of_many_vertices_walks():
    everything = boxed(np.arange(2), np.full((4, 2), 5, np.int32), np.array([60_000, 5]), np.array([2, 2]))
    assert pyramid.walkers(everything, Budget())[everything.fid == 0].all()
    assert not pyramid.walkers(everything, Budget())[everything.fid == 1].any()


def test_no_tile_draws_more_than_it_may():
    everything = some_points(30_000)
    for crowd in heavy_levels(everything, Budget(rows=300)):
        assert thinning.fullest(thinning.thin(crowd, everything, most=300)) <= 300


def homes(crowd, everything, feature):
    """In which tile of the crowd each pair's centre lies, or -1."""
    places = pyramid.interleave(crowd.x.astype(np.int32), crowd.y.astype(np.int32))
    home = (everything.key[feature] & (2**60 - 1)) >> (2 * (pyramid.GRID_BITS - crowd.zoom))
    index = {place: number for number, place in enumerate(places.tolist())}
    return np.array([index.get(place, -1) for place in home.tolist()])


def test_each_feature_is_drawn_or_counted_in_the_tile_where_it_lies():
    everything = some_points(30_000)
    for crowd in heavy_levels(everything, Budget(rows=300)):
        drawn = thinning.thin(crowd, everything, most=300)
        at_home = homes(crowd, everything, drawn.feature) == drawn.tile
        there = homes(crowd, everything, crowd.feature) == crowd.tile
        counted = np.bincount(drawn.tile[at_home], weights=drawn.amount[at_home])
        assert counted.tolist() == np.bincount(crowd.tile[there]).tolist()


def test_who_is_drawn_at_one_zoom_is_drawn_at_the_next():
    everything = some_points(30_000)
    levels = [
        (crowd, thinning.thin(crowd, everything, most=300))
        for crowd in heavy_levels(everything, Budget(rows=300))
    ]
    assert len(levels) > 4
    shift, below = 0, None
    for crowd, found in reversed(levels):
        drawn = thinning.coarsened(found, everything, shift=shift)
        if below is not None:
            # Below tiles that are not heavy everybody is drawn.
            in_heavy = homes(below[0], everything, drawn.feature) >= 0
            assert set(drawn.feature[in_heavy].tolist()) <= set(below[1].feature.tolist())
        shift, below = drawn.shift, (crowd, drawn)


def test_a_tile_and_its_neighbour_draw_the_same_features_along_their_edge():
    everything = some_points(50_000)
    crowd = next(crowd for crowd in heavy_levels(everything, Budget(rows=300)) if len(crowd.x) > 1)
    drawn = thinning.thin(crowd, everything, most=300)
    touched, shown = {}, {}
    for tile, feature in zip(crowd.tile.tolist(), crowd.feature.tolist(), strict=True):
        touched.setdefault(feature, set()).add(tile)
    for tile, feature in zip(drawn.tile.tolist(), drawn.feature.tolist(), strict=True):
        shown.setdefault(feature, set()).add(tile)
    inside = homes(crowd, everything, np.arange(len(everything))) >= 0
    shared = [feature for feature in shown if len(touched[feature]) > 1 and inside[feature]]
    assert shared
    assert all(shown[feature] == touched[feature] for feature in shared)


def test_a_hundred_thousand_points_in_one_place_are_one_with_a_count():
    place = np.full((4, 100_000), 12345, np.int32)
    everything = boxed(np.arange(100_000), place, np.ones(100_000, np.int64), np.zeros(100_000, np.int64))
    drawn = thinning.thin(pyramid.root(everything), everything, most=300)
    assert drawn.amount.tolist() == [100_000]


def test_points_lines_and_areas_are_thinned_apart():
    place = np.full((4, 30), 12345, np.int32)
    everything = boxed(np.arange(30), place, np.ones(30, np.int64), np.repeat([0, 1, 2], 10))
    drawn = thinning.thin(pyramid.root(everything), everything, most=300)
    assert drawn.amount.tolist() == [10, 10, 10]


def test_of_a_cell_the_largest_is_drawn():
    size = np.arange(100)
    bounds = np.stack([1000 - size, 1000 - size, 1000 + size, 1000 + size]).astype(np.int32)
    everything = boxed(np.arange(100), bounds, np.full(100, 5), np.full(100, 2))
    drawn = thinning.thin(pyramid.root(everything), everything, most=300)
    assert everything.fid[drawn.feature].tolist() == [99]


def test_the_same_features_give_the_same_tiles_in_whatever_order_they_come():
    one, other = some_points(5_000), some_points(5_000)
    assert one.rank.tolist() == other.rank.tolist()


def test_a_unit_is_the_4096th_part_of_a_tile():
    assert pyramid.unit_m(0) * 4096 == 2 * 20037508.342789244
    assert pyramid.unit_m(3) * 8 == pyramid.unit_m(0)
