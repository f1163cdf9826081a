"""Polygons of one feature that overlap."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from ckanext.hdxjobs.geopreview.overlaps import Uniter, meeting, suspects, tangled

SQUARES = ((0, 0, 2, 2), (1, 1, 3, 3))


def multi(*boxes):
    return shapely.multipolygons([shapely.box(*box) for box in boxes])


def united(*shapes):
    array = np.array(shapes, dtype=object)
    return array, Uniter().unite(array).tolist()


def comb(teeth):
    """A polygon with many long teeth."""
    edge = [(x // 2, (x + 1) // 2 % 2 * teeth) for x in range(2 * teeth)]
    return shapely.Polygon([*edge, (teeth + 1, -1), (-1, -1)])


def crossed(teeth):
    """Two polygons whose teeth all cross each other."""
    return [comb(teeth), shapely.transform(comb(teeth), lambda xy: xy[:, ::-1])]


def test_polygons_that_overlap_become_one():
    (shape,), flags = united(multi(*SQUARES))
    assert (flags, len(shape.geoms), shape.area) == ([True], 1, 7)


def test_a_polygon_given_twice_is_there_once():
    (shape,), _ = united(multi((0, 0, 2, 2), (0, 0, 2, 2)))
    assert shape.area == 4


def test_polygons_that_overlap_nothing_stay_as_they_are():
    (shape,), _ = united(multi(*SQUARES, (9, 9, 10, 10)))
    assert shapely.box(9, 9, 10, 10) in shape.geoms
    assert len(shape.geoms) == 2


@pytest.mark.parametrize(
    "shape",
    [
        multi((0, 0, 1, 1), (1, 0, 2, 1)),
        multi((0, 0, 1, 1), (5, 5, 6, 6)),
        shapely.from_wkt("MULTIPOLYGON (((0 0, 2 2, 2 0, 0 2, 0 0)), ((5 5, 6 5, 6 6, 5 5)))"),
        shapely.from_wkt("MULTIPOLYGON (((0 0, 0 0, 0 0, 0 0)), ((0 0, 0 0, 0 0, 0 0)))"),
        shapely.box(0, 0, 1, 1),
        shapely.MultiPoint([(0, 0), (0, 0)]),
        None,
    ],
)
def test_what_does_not_overlap_is_not_touched(shape):
    (after,), flags = united(shape)
    assert flags == [False]
    assert after == shape


def test_what_would_take_geos_too_long_stays_as_it_is():
    _, flags = united(shapely.multipolygons(crossed(500)))
    assert flags == [False]


def test_the_effort_for_a_layer_is_bounded():
    shapes = np.array([multi(*SQUARES)] * 3, dtype=object)
    meetings_of_one = 8 * 3 + 8
    assert Uniter(2 * meetings_of_one).unite(shapes).tolist() == [True, True, False]


def test_polygons_that_meet_too_often_are_a_tangle():
    assert tangled(crossed(1000))
    assert not tangled(crossed(10))


def test_pairs_are_found_in_small_portions_too():
    boxes = shapely.box(np.arange(6000), 0, np.arange(6000) + 1, 1)
    pairs = meeting(boxes, 100_000)
    assert pairs.shape[1] == 6000 + 2 * 5999
    assert np.abs(pairs[0] - pairs[1]).max() == 1


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([SQUARES], [0]),
        ([SQUARES[:1], SQUARES[1:]], []),
        ([SQUARES[:1], SQUARES, SQUARES[1:]], [1]),
        ([((0, 0, 1, 1), (5, 0, 6, 1))], []),
        ([((0, 0, 1, 1), (0, 5, 1, 6))], []),
        ([((0, 0, 9, 9), (1, 1, 2, 2), (3, 3, 4, 4))], [0]),
    ],
)
def test_a_multipolygon_is_suspected_when_boxes_of_its_polygons_overlap(shapes, expected):
    owners = np.repeat(np.arange(len(shapes)), [len(boxes) for boxes in shapes])
    boxes = np.array([box for several in shapes for box in several], float)
    shells = np.ones(len(boxes), bool)
    assert suspects(owners, np.full(len(boxes), 5), boxes, shells=shells).tolist() == expected


def test_a_hole_arouses_no_suspicion():
    boxes = np.array([[0, 0, 9, 9], [1, 1, 2, 2]], float)
    found = suspects(np.zeros(2, int), np.full(2, 5), boxes, shells=np.array([True, False]))
    assert found.tolist() == []
