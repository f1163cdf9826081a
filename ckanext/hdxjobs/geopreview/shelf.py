"""Tiles that were asked for lately, packed, in a process's memory: what many look at is made once."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Hashable
from dataclasses import replace

from cachetools import LRUCache

from ckanext.hdxjobs.geopreview.values import Tile

#: Bytes from which compressing pays: less fits one packet of a network anyway.
WORTHWHILE_BYTES = 860
#: Of zlib.
LEVEL = 6
#: Bytes of memory that a tile takes beside its content.
ENTRY_BYTES = 800


class Shelf:
    """The last used tiles, as many as find room; for many threads.

    :param max_bytes: of all of them; 0: none is kept
    """

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._tiles: LRUCache[Hashable, Tile] = LRUCache(max_bytes, getsizeof=_size)

    def find(self, key: Hashable) -> Tile | None:
        with self._lock:
            return self._tiles.get(key)

    def put(self, key: Hashable, tile: Tile) -> None:
        """Keep a tile, unless it is larger than the shelf."""
        with self._lock:
            if _size(tile) <= self._tiles.maxsize:
                self._tiles[key] = replace(tile, is_from_memory=True)


def _size(tile: Tile) -> int:
    return len(tile.content) + ENTRY_BYTES


def squeezed(content: bytes) -> bytes:
    """The gzip copy (RFC 1952), the same bytes each time."""
    return gzip.compress(content, compresslevel=LEVEL, mtime=0)


def packed(tile: Tile) -> Tile:
    """The tile as it is kept: compressed where that pays and was not done before."""
    if tile.is_packed or len(tile.content) < WORTHWHILE_BYTES:
        return tile
    return replace(tile, content=squeezed(tile.content), is_packed=True)
