"""The extent of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from ckanext.hdxjobs.geopreview.extent import Extent


def bbox_of(*boxes):
    extent = Extent()
    for box in boxes:
        extent.widen(np.array([box], float))
    return extent.bbox()


def test_nothing_has_no_extent():
    assert Extent().bbox() is None


def test_an_extent_is_exact_to_the_last_digit():
    assert bbox_of((28.8123456, -2.5, 28.8123456, -2.5), (29.25, -1, 29.3, -0.75)) == [
        28.8123456,
        -2.5,
        29.3,
        -0.75,
    ]


def test_islands_on_both_sides_of_the_antimeridian_are_not_the_whole_globe():
    assert bbox_of((177.2, -19, 179.9, -16), (-180, -17, -178.3, -15)) == [177.2, -19, -178.3, -15]


def test_points_around_the_antimeridian_lie_together():
    assert bbox_of((174.8, -41.3, 174.8, -41.3), (-176.5, -44, -176.5, -44)) == [174.8, -44, -176.5, -41.3]


@pytest.mark.parametrize(
    "boxes",
    [
        [(-100, 10, -100, 10), (120, 20, 120, 20)],
        [(-179, 0, 179, 10)],
        [(-179, 0, -100, 10), (-20, 0, 60, 10), (100, 0, 179, 10)],
    ],
    ids=["far from it", "one shape over the whole globe", "all over the globe"],
)
def test_data_of_the_whole_world_is_not_moved(boxes):
    west, _, east, _ = bbox_of(*boxes)
    assert west < east


def test_the_edges_of_the_world_are_the_widest_extent():
    assert bbox_of((-180.0000001, -90.0000001, 183, 90.0000001)) == [-180, -90, 180, 90]
