"""Heavy tiles as bytes: encoded in PostGIS, made smaller until they fit, and stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import db, pyramid, slimming, thinning, transfer
from ckanext.hdxjobs.geopreview.cutting import Parts
from ckanext.hdxjobs.geopreview.pyramid import Boxes, Flags, Ints
from ckanext.hdxjobs.geopreview.thinning import Drawn

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
UNITS = 4096
DRAWN = sql.Identifier("hdx_drawn")
HEAVY = sql.Identifier("hdx_heavy")


@dataclass(frozen=True)
class Level:
    """The heavy tiles of a zoom, and who of the crowd is drawn in them."""

    x: Ints
    y: Ints
    drawn: Drawn

    @property
    def keys(self) -> Ints:
        """The tiles' numbers."""
        return pyramid.cell_keys(self.drawn.zoom, self.x, self.y)


@dataclass(frozen=True)
class Oven:
    """What encoding a layer's tiles needs to know.

    :ivar table, stored, pieces: the layer's features, and where its tiles and its shapes go
    :ivar properties: SQL select list of the attributes
    :ivar most: features that a tile draws at most
    """

    cursor: Any
    table: sql.Composable
    stored: sql.Composable
    pieces: sql.Composable
    boxes: Boxes
    properties: str
    most: int

    def draw_shapes(self, parts: Parts, keys: Ints, *, zoom: int) -> None:
        """Note large shapes for the tiles that they were cut to, as they will be drawn."""
        shapes, tile, feature = transfer.shapes_of(slimming.slim(parts, unit_m(zoom)))
        columns: transfer.Columns = {
            "cell": keys[tile],
            "fid": self.boxes.fid[feature],
            "amount": np.ones(len(shapes), np.int64),
            "place": self.boxes.rank[feature],
            "shape": shapes,
        }
        transfer.fill(self.cursor, DRAWN, columns)

    def bake(self, level: Level, *, coarsest: int) -> int:
        """Store the tiles of a zoom; what is drawn gets coarser for the whole zoom until each fits.

        :param coarsest: size of the cells of the zoom below, a power of two of grid cells
        :returns: size of the cells of this zoom
        """
        zoom = level.drawn.zoom
        drawn = thinning.coarsened(level.drawn, self.boxes, shift=coarsest)
        self._run("calm_planner")
        self._run("forget_heavy")
        transfer.fill(self.cursor, HEAVY, {"cell": level.keys})
        for number in range(COARSER_ROUNDS + 1):
            if number:
                drawn = thinning.gather(drawn, self.boxes, max(drawn.side // 2, 1))
            self._draw(replace(level, drawn=drawn))
            self._run("fill_heavy", most=self.most)
            self._encode(zoom, detail=2**number)
            overweight = self._overweight(zoom)
            if overweight <= 1 or overweight > HOPELESS:
                break
        self._run("keep_shapes", unit=unit_m(zoom))
        self._leave_out(zoom, detail=2**number)
        return drawn.shift

    def _draw(self, level: Level) -> None:
        drawn = level.drawn
        self._run("forget_drawn", zoom=drawn.zoom)
        columns: transfer.Columns = {
            "cell": level.keys[drawn.tile],
            "fid": self.boxes.fid[drawn.feature],
            "amount": drawn.amount,
            "place": self.boxes.rank[drawn.feature],
        }
        transfer.fill(self.cursor, DRAWN, columns)

    def _encode(self, zoom: int, *, detail: float) -> None:
        self._run("bake", unit=unit_m(zoom), detail=detail)

    def _leave_out(self, zoom: int, *, detail: float) -> None:
        """Where coarser does not help: tiles that are still too large keep the first of their features in rank."""
        self._run("note_dropped")
        self._run("fill_empty")
        for _ in range(FEWER_ROUNDS):
            if self._overweight(zoom) <= 1:
                return
            self._run("keep_fewer", zoom=zoom, max_bytes=MAX_TILE_BYTES)
            self._run("thin_heavy", max_bytes=MAX_TILE_BYTES)
            self._encode(zoom, detail=detail)
            self._run("note_dropped")

    def _overweight(self, zoom: int) -> float:
        """The largest tile of a zoom, in tiles that are full."""
        self._run("fattest_tile", zoom=zoom)
        return ((self.cursor.fetchone() or (0,))[0] or 0) / MAX_TILE_BYTES

    def _run(self, name: str, **params: float) -> None:
        properties = sql.SQL(self.properties.replace("%", "%%") if params else self.properties)
        tables = {"table": self.table, "stored": self.stored, "pieces": self.pieces}
        statement = db.query(name, **tables, properties=properties)
        self.cursor.execute(statement, params or None)


def unit_m(zoom: int) -> float:
    """Metres of a unit of a zoom's tiles."""
    return 2 * pyramid.HALF_WORLD_M / (UNITS << zoom)


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
