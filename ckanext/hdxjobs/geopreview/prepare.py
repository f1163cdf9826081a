"""TileSet -> tiles that are stored or cheap: the second phase of publishing, while the layer already serves.

From zoom 0 down, tiles that would read too much are *heavy*: they are stored, with
their crowds thinned.  Large shapes are cut on the way and stay as pieces where a tile
is no longer heavy.  Nothing is read by visitors before the last step notes that all is
there; killed before it, the layer serves as it did.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from psycopg2 import extensions, sql

from ckanext.hdxjobs.errors import PublishError, Superseded
from ckanext.hdxjobs.geopreview import bake, db, descent, listing, packing, pyramid, rules, thinning, transfer
from ckanext.hdxjobs.geopreview.bake import Level, Oven
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.descent import Fate, Zoom
from ckanext.hdxjobs.geopreview.hands import Hands, hired
from ckanext.hdxjobs.geopreview.listing import Large, Listed
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Budget, Ints
from ckanext.hdxjobs.geopreview.sketch import Sketches
from ckanext.hdxjobs.geopreview.values import TileSet

log = logging.getLogger(__name__)

#: Pieces that shapes may be cut into: so many each, and so many for all; beyond that cutting stops.
MAX_PIECES_EACH = 12
MAX_PIECES_FREE = 200_000
#: Entries of lists that count as a piece: these take less room than it.
ENTRIES_A_PIECE = 10
#: Connections that encode the tiles of large layers side by side.
HANDS = 2

_DIMENSIONS = {
    **{"Point": 0, "MultiPoint": 0},
    **{"LineString": 1, "MultiLineString": 1},
    **{"Polygon": 2, "MultiPolygon": 2},
}


@dataclass(frozen=True)
class Prepared:
    """What preparing a layer made.

    :ivar tiles: stored tiles
    :ivar pieces: pieces of large shapes
    :ivar lists: tiles that list large shapes of few vertices
    :ivar deepest: the first zoom at which no tile is thinned
    :ivar capped_zoom: below it tiles may lack features; None: nowhere
    """

    tiles: int = 0
    pieces: int = 0
    lists: int = 0
    deepest: int = 0
    capped_zoom: int | None = None
    seconds: float = 0.0


def prepare(
    tile_sets: Sequence[TileSet], *, dsn: str, budget: Budget | None = None, hands: int = HANDS
) -> tuple[Prepared, ...]:
    """Make each tile of published layers either stored or cheap; the registry tells how far it is.

    :param hands: connections for a large layer; what is made is the same
    :raises Superseded: a newer generation took over, or the resource was deleted
    :raises PublishError: the map database is away
    """
    made = []
    for tile_set in tile_sets:
        limits = budget or Budget(max_zoom=rules.DEEPEST_MAX_ZOOM)
        with db.session(dsn, error=PublishError) as connection:
            hire = partial(hired, connection, dsn=dsn)
            preparation = _Preparation(connection, hire, hands, tile_set, limits)
            made.append(preparation.run())
            preparation.release()
    return tuple(made)


class _Preparation:
    """One layer's way to its stored tiles and pieces."""

    def __init__(
        self,
        connection: extensions.connection,
        hire: Callable[..., AbstractContextManager[Hands]],
        hands: int,
        tile_set: TileSet,
        budget: Budget,
    ) -> None:
        self._connection = connection
        self._hire, self._hands = hire, hands
        self._name = rules.table_name(tile_set.layer_id, tile_set.generation)
        self._table = db.table(self._name)
        self._stored = db.table(rules.stored_name(self._name))
        self._pieces = db.table(rules.pieces_name(self._name))
        self._outline = tile_set.outline
        self._dimension = _DIMENSIONS.get(tile_set.geometry_type)
        self._budget = budget
        self._piece_count = self._list_count = self._entry_count = 0

    def run(self) -> Prepared:
        started = time.monotonic()
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(db.query("try_prepare_lock"), {"table_name": self._name})
            if not (cursor.fetchone() or (False,))[0]:
                raise Superseded(self._name)
            self._check(cursor)
            cursor.execute(db.query("was_prepared"), {"table_name": self._name})
            before = cursor.fetchone()
            if before is not None:
                return Prepared(*before)
            cursor.execute(db.query("begin_prepare"), {"table_name": self._name})
        with self._connection, self._connection.cursor() as cursor:
            room, properties = bake.room(cursor, self._name)
            if isinstance(self._outline, pyramid.Outline):
                boxes = pyramid.boxes(self._outline)
            else:
                boxes = transfer.read_boxes(cursor, self._table, dimension=self._dimension)
        self._budget = replace(self._budget, rows=min(self._budget.rows, room))
        vertices = int(boxes.vertices.sum())
        light = len(boxes) <= self._budget.rows and vertices <= self._budget.vertices
        if light:
            made = Prepared()
        else:
            # Another connection takes as long as a tile or two.
            with self._hire(count=self._hands if vertices > bake.WORTH_SHARING else 1) as hands:
                made = self._make(hands, boxes, properties)
        self._note(made)
        made = replace(made, seconds=time.monotonic() - started)
        log.info("layer %s: %s", self._name, made)
        return made

    def release(self) -> None:
        """Let others prepare this layer from now on; a server notices only later that a connection was closed."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(db.query("prepare_unlock"), {"table_name": self._name})

    def _check(self, cursor: Any, *, keep: bool = False) -> None:
        """Go on only while this generation is served.

        :param keep: tables are made beside the layer's own: it is not dropped before they are there
        """
        cursor.execute(
            db.query("still_served_and_kept" if keep else "still_served"), {"table_name": self._name}
        )
        if not (cursor.fetchone() or (False,))[0]:
            raise Superseded(self._name)

    def _tell(self, share: float) -> None:
        """How far it is; a transaction of its own, so that no lock on the registry is held."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(db.query("note_share"), {"table_name": self._name, "share": share})

    def _note(self, made: Prepared) -> None:
        """From now on visitors get what was made."""
        params = {
            "table_name": self._name,
            "tiles": made.tiles,
            "pieces": made.pieces,
            "lists": made.lists,
            "deepest": made.deepest,
            "capped_zoom": made.capped_zoom,
        }
        with self._connection, self._connection.cursor() as cursor:
            self._check(cursor)
            cursor.execute(db.query("note_prepared"), params)

    def _make(self, hands: Hands, boxes: Boxes, properties: str) -> Prepared:
        with hands.transaction():
            hands.cursors[0].execute(db.query("lock_timeout"))
            self._check(hands.cursors[0], keep=True)
            hands.cursors[0].execute(db.query("prepared_tables", stored=self._stored, pieces=self._pieces))
            for cursor in hands.cursors:
                cursor.execute(db.query("work_tables"))
        indexed = hands.aside(self._index_fid)
        walk = pyramid.walkers(boxes, self._budget)
        with self._connection:
            parts = list(transfer.read_large(hands.cursors[0], self._table, boxes, walk))
        large = Large(walk, listing.short(parts, boxes, self._budget))
        with self._connection:
            self._check(hands.cursors[0], keep=True)
            Sketches(self._name).store(hands.cursors[0], boxes, parts)
        rows = self._budget.rows
        oven = Oven(hands, self._table, self._stored, self._pieces, boxes, properties, large.listed, rows)
        self._tell(0.2)
        levels, capped_zoom = self._descend(oven, large, listing.apart(parts, large.listed))
        indexed.result()
        self._bake(oven, levels)
        if walk.any():
            self._finish_pieces()
        deepest = min(len(levels), rules.DEEPEST_MAX_ZOOM)
        tiles = sum(len(level.x) for level in levels)
        return Prepared(tiles, self._piece_count, self._list_count, deepest, capped_zoom)

    def _index_fid(self, cursor: Any) -> None:
        cursor.execute(db.query("lock_timeout"))
        cursor.execute(db.query("index_fid", index=self._index("fid"), table=self._table))

    def _index(self, what: str) -> sql.Identifier:
        return sql.Identifier(f"{self._name}_{what}")

    def _descend(self, oven: Oven, large: Large, parts: list[Parts]) -> tuple[list[Level], int | None]:
        """From zoom 0 down as long as a tile is heavy: who is drawn in each, and the pieces below.

        ``parts`` is used up.
        """
        levels: list[Level] = []
        crowd = pyramid.root(oven.boxes)
        allowed = MAX_PIECES_FREE + MAX_PIECES_EACH * int(large.walk.sum())
        while True:
            seen = bake.visible(oven.boxes, crowd.zoom)
            # A shape that is cut is drawn by its pieces, once it is larger than a pixel.
            crowd = pyramid.without(crowd, large.walk & seen)
            zoom = descent.weighed(crowd, oven.boxes, large, parts, self._budget)
            heavy = zoom.heavy
            kept = self._piece_count + self._entry_count // ENTRIES_A_PIECE
            capped = bool(heavy.any()) and kept + zoom.pieces > allowed
            last = capped or crowd.zoom >= self._budget.max_zoom
            capped = capped or (last and zoom.longest > oven.rows)
            shapes = self._step(oven, parts, zoom, partial(descent.step, zoom, seen, oven.listed, last))
            if not heavy.any():
                return levels, None
            crowd = pyramid.only(crowd, heavy)
            drawn = thinning.thin(crowd, oven.boxes, most=self._budget.rows)
            levels.append(Level(crowd.x, crowd.y, drawn, np.cumsum(heavy)[shapes[0]] - 1, shapes[1]))
            self._tell(0.2 + 0.02 * crowd.zoom)
            if last:
                return levels, crowd.zoom if capped else None
            crowd = pyramid.children(crowd, oven.boxes)

    def _step(
        self, oven: Oven, parts: list[Parts], zoom: Zoom, fate: Callable[[Parts], Fate]
    ) -> tuple[Ints, Ints]:
        """Keep what belongs to settled tiles, draw the large shapes of heavy ones; ``parts`` become those below.

        :returns: tile and feature of what is drawn, each pair once
        """
        pairs: list[Ints] = [np.zeros((0, 2), np.int64)]
        lists: list[tuple[Listed, Listed]] = []
        for number in range(len(parts)):
            found = fate(parts[number])
            parts[number] = found.below
            with self._connection:
                self._check(oven.hands.cursors[0])
                if isinstance(found.kept, Listed):
                    lists.append((found.kept, found.finer))
                    self._entry_count += len(found.kept) + len(found.finer)
                else:
                    oven.keep_shapes(found.kept, zoom.keys)
                    self._piece_count += len(found.kept)
                oven.draw_shapes(found.drawn, zoom.keys)
            pairs.append(np.column_stack([found.drawn.tile, found.drawn.feature]))
        if lists:
            kept, finer = (listing.joined(several) for several in zip(*lists, strict=True))
            with self._connection:
                self._check(oven.hands.cursors[0])
                self._list_count += oven.keep_lists(kept, zoom.keys) + oven.keep_lists(finer, zoom.keys_below)
        tile, feature = np.unique(np.concatenate(pairs), axis=0).T
        return tile, feature

    def _bake(self, oven: Oven, levels: list[Level]) -> None:
        """Store the heavy tiles, deepest first: no zoom draws finer than the one below it."""
        coarsest = 0
        for number, level in enumerate(reversed(levels)):
            with oven.hands.transaction():
                self._check(oven.hands.cursors[0])
                coarsest = oven.bake(level, coarsest=coarsest)
            self._tell(0.5 + 0.4 * (number + 1) / len(levels))
        with oven.hands.transaction():
            packing.pack(oven.hands, self._stored)
        with self._connection:
            oven.hands.cursors[0].execute(db.query("analyze_table", table=self._stored))

    def _finish_pieces(self) -> None:
        """Make pieces quick to find, and the shapes that were cut easy to leave out."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(db.query("index_pieces", index=self._index("pieces"), pieces=self._pieces))
            cursor.execute(db.query("analyze_table", table=self._pieces))
            cursor.execute(db.query("mark_walkers", table=self._table))
            cursor.execute(db.query("index_resting", index=self._index("resting"), table=self._table))
            cursor.execute(db.query("analyze_walk", table=self._table))
