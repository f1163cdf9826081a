"""Tiles that are kept in memory: packed once, within a bound."""

from __future__ import annotations

import random

from ckanext.hdxjobs.geopreview.shelf import ENTRY_BYTES, Shelf, packed
from ckanext.hdxjobs.geopreview.values import Tile

LONG = Tile(b"abcdefgh" * 1_000, "live", dropped=3)


def test_a_tile_is_packed_where_that_pays_and_is_the_same_unpacked() -> None:
    kept = packed(LONG)
    assert (kept.is_packed, kept.body, kept.state, kept.dropped) == (True, LONG.content, "live", 3)
    assert len(kept.content) < len(LONG.content)


def test_a_small_or_an_empty_tile_stays_as_it_is() -> None:
    for content in (b"", b"abc"):
        assert packed(Tile(content, "live")) == Tile(content, "live")


def test_what_is_packed_is_not_packed_again() -> None:
    assert packed(packed(LONG)) is not LONG
    once = packed(LONG)
    assert packed(once) is once


def test_tiles_of_the_same_content_have_the_same_digest() -> None:
    assert packed(LONG).digest == packed(Tile(LONG.content, "stored")).digest
    assert packed(LONG).digest != LONG.digest


def test_a_kept_tile_says_that_no_database_was_asked() -> None:
    shelf = Shelf(10_000)
    shelf.put("key", LONG)
    found = shelf.find("key")
    assert found is not None
    assert (found.is_from_memory, found.content) == (True, LONG.content)
    assert shelf.find("other") is None


def test_a_shelf_holds_no_more_bytes_than_it_may() -> None:
    chance, shelf = random.Random(1), Shelf(50_000)
    sizes = {number: chance.randrange(20_000) for number in range(200)}
    for number, size in sizes.items():
        shelf.put(number, Tile(bytes(size), "live"))
    kept = [number for number in sizes if shelf.find(number)]
    assert 199 in kept
    assert sum(sizes[number] + ENTRY_BYTES for number in kept) <= 50_000


def test_a_tile_larger_than_the_shelf_is_not_kept() -> None:
    shelf = Shelf(1_000)
    shelf.put("key", LONG)
    assert shelf.find("key") is None


def test_a_shelf_of_no_bytes_keeps_nothing() -> None:
    shelf = Shelf(0)
    shelf.put("key", Tile(b"", "live"))
    assert shelf.find("key") is None
