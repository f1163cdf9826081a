"""The reading side: layers and tiles for web requests, by a small pool of read-only connections.

Knows no files, no GDAL and no CKAN; all the work is done by two functions in
the map database (``sql/tiles.sql``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import extensions

from ckanext.hdxjobs.errors import BadFilter, PoolBusy
from ckanext.hdxjobs.geopreview import db, rules
from ckanext.hdxjobs.geopreview.flights import Flights
from ckanext.hdxjobs.geopreview.shelf import Shelf, packed
from ckanext.hdxjobs.geopreview.values import Field, Tile, TileSet

#: A missing table is another matter: it was dropped a moment ago.
_UNUSABLE = tuple({*db.UNAVAILABLE, *db.NOT_SET_UP} - {psycopg2.errors.UndefinedTable})

#: What a filter can be at fault for: a field that is not there, a value that does not suit its column.
_BAD_OPTIONS = (psycopg2.DataError, psycopg2.errors.UndefinedFunction, psycopg2.errors.StatementTooComplex)

#: Name of the one source layer inside each tile.
SOURCE_LAYER = "layer"

MAX_CONNECTIONS = 3
#: Seconds that a request waits for a free connection before it is told to come back.
WAIT_S = 2.0

#: What a field's type is called in TileJSON's vector_layers.
TYPE_LABELS = {
    "integer": "Number (integer)",
    "number": "Number",
    "boolean": "Boolean",
    "string": "String",
    "date": "String (date, ISO 8601)",
    "datetime": "String (date and time, ISO 8601)",
    "time": "String (time, ISO 8601)",
    "json": "String (JSON)",
}


class TileReader:
    """Reads what is published.  Connects on first use, and anew in a forked process.

    :param dsn: the map database as the tiles role
    :param statement_timeout_s: seconds that one query may take
    :param memory_bytes: of tiles that are kept in memory
    """

    def __init__(
        self,
        dsn: str,
        statement_timeout_s: float,
        *,
        max_connections: int = MAX_CONNECTIONS,
        wait_s: float = WAIT_S,
        memory_bytes: int = 0,
    ) -> None:
        self._dsn = dsn
        self._memory_bytes = memory_bytes
        self._options = (
            f"-c statement_timeout={int(statement_timeout_s * 1000)} -c default_transaction_read_only=on"
            " -c jit=off -c max_parallel_workers_per_gather=0"
        )
        self._max_connections = max_connections
        self._wait_s = wait_s
        self._inherited: list[extensions.connection] = []
        self._start()

    def layer(self, layer_id: str) -> TileSet | None:
        """The layer as it is served now, or ``None``."""
        row = self._one(db.queries()["layer"], {"layer_id": layer_id})
        if row is None:
            return None
        bbox = row[5]
        return TileSet(
            layer_id=layer_id,
            resource_id=row[0],
            generation=row[1],
            name=row[2],
            geometry_type=row[3],
            feature_count=row[4],
            bbox_lonlat=(bbox[0], bbox[1], bbox[2], bbox[3]) if bbox else None,
            fields=tuple(Field(**field) for field in row[6]),
            source_crs=row[7],
            minzoom=row[8],
            maxzoom=row[9],
            is_prepared=row[10],
        )

    def tile(  # noqa: PLR0913 a tile's address is four numbers
        self, layer_id: str, version: int, z: int, x: int, y: int, *, options: str | None = None
    ) -> Tile | None:
        """A tile, or ``None`` for a layer or version that is not served.

        Requests of one tile at the same time ask the database once, and take one of the few connections.

        :param options: JSON of ``hdxjobs.tile_v3``: fields, filter
        :raises BadFilter: the options do not suit the layer
        :raises PoolBusy: the map database cannot be asked
        """
        self._start_anew_if_forked()
        key = (layer_id, version, z, x, y, options)
        return self._shelf.find(key) or self._flights.run(key, partial(self._make, key))

    def ping(self) -> None:
        """Return if the map database answers and is set up.

        :raises PoolBusy: it does not, or all connections are in use
        """
        self._one(db.queries()["layer"], {"layer_id": ""})

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _make(self, key: tuple[str, int, int, int, int, str | None]) -> Tile | None:
        params = dict(zip(("layer_id", "version", "z", "x", "y", "options"), key, strict=True))
        try:
            row = self._one(db.queries()["tile"], params)
        except psycopg2.errors.UndefinedTable:
            # Dropped between the look into the registry and the look into the table.
            return None
        except _BAD_OPTIONS as error:
            raise BadFilter(db.reason(error)) from error
        if row is None or row[0] is None:
            return None
        tile = packed(Tile(bytes(row[0]), state=row[1], dropped=row[2], is_packed=row[3]))
        if tile.state != "preview":
            self._shelf.put(key, tile)
        return tile

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[extensions.connection] = []
        self._slots = threading.BoundedSemaphore(self._max_connections)
        self._flights: Flights[Tile | None] = Flights()
        self._shelf = Shelf(self._memory_bytes)

    def _start_anew_if_forked(self) -> None:
        if self._pid != os.getpid():
            # Kept, not closed: closing would say goodbye on the parent's sockets.
            self._inherited += self._idle
            self._start()

    def _one(self, statement: str, params: dict[str, Any]) -> tuple[Any, ...] | None:
        """The first row; a connection that has died since its last use is replaced once."""
        with self._slot():
            connection = self._take()
            try:
                return self._run(connection, statement, params)
            except _UNUSABLE as error:
                if isinstance(error, psycopg2.errors.QueryCanceled) or not connection.closed:
                    raise PoolBusy(db.reason(error)) from error
            try:
                return self._run(self._connect(), statement, params)
            except _UNUSABLE as error:
                raise PoolBusy(db.reason(error)) from error

    @contextmanager
    def _slot(self) -> Iterator[None]:
        self._start_anew_if_forked()
        slots = self._slots
        if not slots.acquire(timeout=self._wait_s):
            message = "all connections of this process are in use"
            raise PoolBusy(message)
        try:
            yield
        finally:
            slots.release()

    def _take(self) -> extensions.connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _connect(self) -> extensions.connection:
        try:
            connection = db.connect(self._dsn, application="hdxjobs-tiles", options=self._options)
        except db.UNAVAILABLE as error:
            raise PoolBusy(db.reason(error)) from error
        connection.autocommit = True
        return connection

    def _run(
        self, connection: extensions.connection, statement: str, params: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, params)
                row: tuple[Any, ...] | None = cursor.fetchone()
                return row
        finally:
            if not connection.closed:
                with self._lock:
                    self._idle.append(connection)


def tilejson(tile_set: TileSet, *, tiles_url: str, attribution: str = "") -> dict[str, Any]:
    """TileJSON 3.0.0 of a layer.

    :param tiles_url: URL template with {z}, {x} and {y}
    """
    result: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": tile_set.name,
        "version": f"{tile_set.generation}.0.0",
        "scheme": "xyz",
        # Not TileJSON's: until then tiles are samples, and whoever draws them may want to say so.
        "prepared": tile_set.is_prepared,
        "tiles": [tiles_url],
        "minzoom": tile_set.minzoom,
        "maxzoom": tile_set.maxzoom,
        "vector_layers": [
            {
                "id": SOURCE_LAYER,
                "description": tile_set.name,
                "minzoom": tile_set.minzoom,
                "maxzoom": tile_set.maxzoom,
                "fields": {field.key: TYPE_LABELS[field.type] for field in tile_set.fields},
            }
        ],
    }
    if tile_set.bbox_lonlat:
        west, south, east, north = tile_set.bbox_lonlat
        middle = west + rules.width_degrees(tile_set.bbox_lonlat) / 2
        # Clients know no bounds with west > east: around the antimeridian they get all longitudes.
        result["bounds"] = [west, south, east, north] if west <= east else [-180, south, 180, north]
        result["center"] = [middle - 360 if middle > 180 else middle, (south + north) / 2, tile_set.minzoom]
    if attribution:
        result["attribution"] = attribution
    return result
