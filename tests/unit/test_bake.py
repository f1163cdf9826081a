"""Who is drawn in a heavy tile: numbers only."""

from __future__ import annotations

import numpy as np

from ckanext.hdxjobs.geopreview import bake

TILE = np.array([0, 0, 0, 2, 2, 0])
PLACE = np.array([7, 3, 9, 8, 1, 5], np.int32)


def drawn(most):
    """Places of those who are drawn, tile by tile."""
    keep = bake.kept(TILE, PLACE, tiles=3, most=most)
    return [sorted(PLACE[(tile == TILE) & (keep[tile] > PLACE)].tolist()) for tile in range(3)]


def test_all_are_drawn_where_there_is_room():
    assert drawn(most=4) == [[3, 5, 7, 9], [], [1, 8]]


def test_where_there_is_no_room_the_first_in_rank_are_drawn():
    assert drawn(most=3) == [[3, 5, 7], [], [1, 8]]
    assert drawn(most=1) == [[3], [], [1]]
