"""Heavy tiles as bytes: encoded in PostGIS, made smaller until they fit, and stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import db, pyramid, thinning, transfer
from ckanext.hdxjobs.geopreview.hands import Hands
from ckanext.hdxjobs.geopreview.listing import Listed
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Flags, Ints
from ckanext.hdxjobs.geopreview.thinning import Drawn
from ckanext.hdxjobs.geopreview.transfer import Shapes

#: Bytes of a stored tile, before compression.
MAX_TILE_BYTES = 500_000
#: Part of these that the crowd's attributes may fill, so that shapes find room.
CROWD_SHARE = 0.8
#: Features a tile should be able to draw; where they cannot, their attributes are shortened.
ENOUGH_DRAWN = 2_000
#: Fewest features that a tile draws, however long their attributes are.
FEWEST_DRAWN = 1_000
#: Bytes of a feature in a tile beside its attributes.
SHAPE_BYTES = 12
#: Rounds of coarser cells and shapes before features are left out.
COARSER_ROUNDS = 3
#: Times the size of a full tile from which coarser cells and shapes are not even tried.
HOPELESS = 3
#: Rounds in which features are left out until a tile fits.
FEWER_ROUNDS = 6
#: Features of a zoom from which several connections share its tiles.
WORTH_SHARING = 20_000
#: As how many features a large shape counts.
LARGE = 100
DRAWN = sql.Identifier("hdx_drawn")
HEAVY = sql.Identifier("hdx_heavy")
#: More than any place in the order of importance.
EVERYBODY = 2**31


@dataclass(frozen=True)
class Level:
    """The heavy tiles of a zoom, and who is drawn in them.

    :ivar drawn: of the crowd
    :ivar shape_tile, shape_feature: pairs: the large shapes, each once a tile
    """

    x: Ints
    y: Ints
    drawn: Drawn
    shape_tile: Ints
    shape_feature: Ints

    @property
    def keys(self) -> Ints:
        """The tiles' numbers."""
        return pyramid.cell_keys(self.drawn.zoom, self.x, self.y)


@dataclass(frozen=True)
class Oven:
    """What encoding a layer's tiles needs to know.

    :ivar table, stored, pieces: the layer's features, and where its tiles and its shapes go
    :ivar properties: SQL select list of the attributes
    :ivar listed: features that tiles list: they are read whole
    :ivar rows: features that a tile may read; a stored one draws twice as many of them at most
    """

    hands: Hands
    table: sql.Composable
    stored: sql.Composable
    pieces: sql.Composable
    boxes: Boxes
    properties: str
    listed: Flags
    rows: int

    def keep_shapes(self, shapes: Shapes, keys: Ints) -> None:
        """Pieces stay for their tiles (numbers ``keys``) and those below."""
        columns = {"cell": keys[shapes.tile], "fid": self.boxes.fid[shapes.feature], "shape": shapes.ewkb}
        transfer.fill(self.hands.cursors[0], self.pieces, columns)

    def keep_lists(self, lists: Listed, keys: Ints) -> int:
        """Lists stay for their tiles (numbers ``keys``) and those below; only the last of a layer can be too long.

        :returns: how many
        """
        place = self.boxes.rank[lists.feature]
        keep = kept(lists.tile, place, tiles=len(keys), most=self.rows)
        tiles, fids = lists.take(np.flatnonzero(place < keep[lists.tile])).arrays(self.boxes.fid)
        transfer.fill(self.hands.cursors[0], self.pieces, {"cell": keys[tiles], "fids": fids})
        return len(tiles)

    def draw_shapes(self, shapes: Shapes | Listed, keys: Ints) -> None:
        """Large shapes stay as their tiles draw them; the key is negative.  Lists are made of what fits."""
        if isinstance(shapes, Shapes):
            self.keep_shapes(shapes, -keys - 1)

    def bake(self, level: Level, *, coarsest: int) -> int:
        """Store the tiles of a zoom; what is drawn gets coarser for the whole zoom until each fits.

        :param coarsest: size of the cells of the zoom below, a power of two of grid cells
        :returns: size of the cells of this zoom
        """
        drawn = thinning.coarsened(level.drawn, self.boxes, shift=coarsest)
        shares = self._shares(level)
        for number in range(COARSER_ROUNDS + 1):
            if number:
                drawn = thinning.gather(drawn, self.boxes, max(drawn.side // 2, 1))
            work = partial(self._store, replace(level, drawn=drawn), 2**number)
            overweight = max(self.hands.each(work, shares))
            if overweight <= 1 or overweight > HOPELESS:
                break
        self.hands.each(partial(self._leave_out, drawn.zoom, 2**number), shares)
        return drawn.shift

    def _shares(self, level: Level) -> list[Flags]:
        """The tiles of each connection, so that all have as much to do."""
        load = np.bincount(level.drawn.tile, minlength=len(level.x))
        load += LARGE * np.bincount(level.shape_tile, minlength=len(level.x))
        count = len(self.hands.cursors) if load.sum() > WORTH_SHARING else 1
        owner = np.minimum(np.cumsum(load) * count // (load.sum() + 1), count - 1)
        return [owner == number for number in range(count)]

    def _store(self, level: Level, detail: int, cursor: Any, mine: Flags) -> float:
        """Encode some of the tiles.

        :returns: the largest of them, in tiles that are full
        """
        drawn, zoom = level.drawn, level.drawn.zoom
        tile = np.concatenate([drawn.tile, level.shape_tile])
        feature = np.concatenate([drawn.feature, level.shape_feature])
        amount = np.concatenate([drawn.amount, np.ones(len(level.shape_tile), np.int64)])
        listed = np.concatenate([np.zeros(len(drawn.tile), bool), self.listed[level.shape_feature]])
        which = np.flatnonzero(mine[tile])
        place = self.boxes.rank[feature[which]]
        self._run(cursor, "calm_planner")
        self._run(cursor, "forget_heavy")
        keep = kept(tile[which], place, tiles=len(mine), most=2 * self.rows)
        # Of features that are left out and have no pieces, their number says all.
        lost = listed[which] & (place >= keep[tile[which]])
        count = np.bincount(tile[which[lost]], minlength=len(mine))
        which, place = which[~lost], place[~lost]
        transfer.fill(cursor, HEAVY, {"cell": level.keys[mine], "keep": keep[mine], "lost": count[mine]})
        self._run(cursor, "bound_heavy")
        columns: transfer.Columns = {
            "cell": level.keys[tile[which]],
            "fid": self.boxes.fid[feature[which]],
            "amount": amount[which],
            "place": place,
            "listed": listed[which],
        }
        transfer.fill(cursor, DRAWN, columns)
        self._encode(cursor, zoom, detail)
        return self._overweight(cursor, zoom)

    def _encode(self, cursor: Any, zoom: int, detail: int) -> None:
        self._run(cursor, "bake", zoom=zoom, unit=pyramid.unit_m(zoom), detail=detail)

    def _leave_out(self, zoom: int, detail: int, cursor: Any, mine: Flags) -> None:
        """Where coarser does not help: tiles that are still too large keep the first of their features in rank."""
        if not mine.any():
            return
        self._run(cursor, "leave_shapes_out")
        self._run(cursor, "list_drawn")
        self._run(cursor, "note_dropped")
        self._run(cursor, "fill_empty")
        for _ in range(FEWER_ROUNDS):
            if self._overweight(cursor, zoom) <= 1:
                return
            self._run(cursor, "keep_fewer", zoom=zoom, max_bytes=MAX_TILE_BYTES)
            self._run(cursor, "thin_heavy", max_bytes=MAX_TILE_BYTES)
            self._encode(cursor, zoom, detail)
            self._run(cursor, "note_dropped")

    def _overweight(self, cursor: Any, zoom: int) -> float:
        """The largest tile of a zoom, in tiles that are full."""
        self._run(cursor, "fattest_tile", zoom=zoom)
        return ((cursor.fetchone() or (0,))[0] or 0) / MAX_TILE_BYTES

    def _run(self, cursor: Any, name: str, **params: float) -> None:
        properties = sql.SQL(self.properties.replace("%", "%%") if params else self.properties)
        tables = {"table": self.table, "stored": self.stored, "pieces": self.pieces}
        statement = db.query(name, **tables, properties=properties)
        cursor.execute(statement, params or None)


def kept(tile: Ints, place: npt.NDArray[np.int32], *, tiles: int, most: int) -> Ints:
    """Below which place features are drawn, for each tile: all, or the ``most`` that come first."""
    count = np.bincount(tile, minlength=tiles)
    keep = np.full(tiles, EVERYBODY)
    full = count > most
    if full.any():
        first = np.cumsum(count) - count
        keep[full] = place[np.lexsort((place, tile))][first[full] + most - 1] + 1
    return keep


def room(cursor: Any, name: str) -> tuple[int, str]:
    """How many features a tile can draw, and the attributes that features of heavy tiles get.

    All attributes where enough features can have them; else the first, and shortened.

    :param name: the layer's table
    """
    drawn, properties = 0, ""
    for lean in (False, True):
        cursor.execute(db.query("properties"), {"table_name": name, "lean": lean})
        (properties,) = cursor.fetchone() or ("",)
        cursor.execute(db.query("row_bytes", table=db.table(name), properties=sql.SQL(properties)))
        (row_bytes,) = cursor.fetchone() or (0,)
        drawn = int(CROWD_SHARE * MAX_TILE_BYTES / (row_bytes + SHAPE_BYTES))
        if drawn >= ENOUGH_DRAWN:
            break
    return max(FEWEST_DRAWN, drawn), properties


def visible(boxes: Boxes, zoom: int) -> Flags:
    """Features that span a pixel or more of a tile that is 512 pixels wide."""
    flags: Flags = boxes.size >= max(1, (1 << (pyramid.GRID_BITS - zoom)) // thinning.FINEST_SIDE)
    return flags
