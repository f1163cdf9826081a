"""Features that tiles list."""

from __future__ import annotations

import struct

import numpy as np

from ckanext.hdxjobs.geopreview import listing
from ckanext.hdxjobs.geopreview.listing import Listed


def listed(*pairs):
    tile, feature = np.array(pairs, np.int64).reshape(-1, 2).T
    return Listed(tile, feature)


def test_a_tile_has_one_list_of_all():
    joined = listing.joined([listed((0, 5), (2, 1)), listed((0, 3), (1, 4))])
    assert list(zip(joined.tile.tolist(), joined.feature.tolist(), strict=True)) == [
        (0, 3),
        (0, 5),
        (1, 4),
        (2, 1),
    ]


def test_lists_hold_the_ids_of_their_features():
    tiles, arrays = listed((3, 0), (3, 2), (7, 1)).arrays(np.array([10, 2**40, -1]))
    assert tiles.tolist() == [3, 7]
    # Dimensions, no nulls, bigint, length, first index; then length and value of each.
    assert struct.unpack(">5iiqiq", arrays[0]) == (1, 0, 20, 2, 1, 8, 10, 8, -1)
    assert struct.unpack(">5iiq", arrays[1]) == (1, 0, 20, 1, 1, 8, 2**40)


def test_nothing_is_listed_of_nothing():
    tiles, arrays = listing.NOTHING.arrays(np.zeros(0, np.int64))
    assert (len(tiles), len(arrays)) == (0, 0)
