"""Table -> TileSet: indexes, then one short transaction that puts all layers of a resource in place.

A generation can only raise ``live_gen``.  Whatever dies before the flip leaves
the older layers serving; the tables left behind are found in the registry.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from ckanext.hdxjobs.errors import PublishError, Superseded
from ckanext.hdxjobs.geopreview import db, rules
from ckanext.hdxjobs.geopreview.values import Table, TileSet

log = logging.getLogger(__name__)

#: Features whose vertices are looked at to find out how detailed a layer is.
DETAIL_SAMPLE = 2_000
#: Seconds after which a table that was loaded but never published belongs to no living import.
ABANDONED_S = 86_400


@dataclass(frozen=True)
class Share:
    """What tile servers have of a resource.

    :ivar shared: its layers have functions for them
    :ivar valid: and these give tiles; they stop when nobody renews them
    """

    resource_id: str
    shared: bool
    valid: bool


def publish(tables: Sequence[Table], *, resource_id: str, generation: int, dsn: str) -> tuple[TileSet, ...]:
    """Serve these tables and nothing else as the layers of a resource.

    :raises Superseded: this generation or a newer one is live, or the resource was deleted
    :raises PublishError: not one feature can be drawn, or the map database is away
    """
    _refuse_invisible(tables)
    with db.session(dsn, error=PublishError) as connection:
        for table in tables:
            _index(connection, table.table_name)
        tile_sets = tuple(_tile_set(table, _detail(connection, table)) for table in tables)
        with connection, connection.cursor() as cursor:
            _flip(cursor, tile_sets, {"resource_id": resource_id, "generation": generation})
    return tile_sets


def _refuse_invisible(tables: Sequence[Table]) -> None:
    """A map needs at least one feature; say what happened to them all."""
    if any(table.drawable_count for table in tables):
        return
    astray = [notice for table in tables for notice in table.notices if notice.code == "out-of-range"]
    if astray:
        first = astray[0]
        raise PublishError("coordinates-out-of-range", layer=first.layer, example=first.example)
    raise PublishError("no-geometry", count=sum(table.row_count for table in tables))


def _tile_set(table: Table, detail_m: float | None) -> TileSet:
    layer = table.layer
    return TileSet(
        layer_id=layer.layer_id,
        resource_id=layer.resource_id,
        generation=layer.generation,
        name=layer.name,
        geometry_type=table.geometry_type,
        feature_count=table.row_count,
        bbox_lonlat=table.bbox_lonlat,
        fields=layer.fields,
        source_crs=layer.source_crs,
        minzoom=0,
        maxzoom=rules.max_zoom(table.bbox_lonlat, detail_m),
        outline=table.outline,
    )


def _index(connection: extensions.connection, table_name: str) -> None:
    with connection, connection.cursor() as cursor:
        table = db.table(table_name)
        try:
            cursor.execute(db.query("index_table", table=table, index=sql.Identifier(f"{table_name}_geom")))
        except psycopg2.errors.UndefinedTable as error:
            # A deletion was quicker.
            raise Superseded(table_name) from error
        cursor.execute(db.query("add_walk_column", table=table))
        cursor.execute(db.query("analyze_places", table=table))


def _detail(connection: extensions.connection, table: Table) -> float | None:
    """Metres between neighbouring vertices of the more detailed shapes; None where there are points."""
    share = min(100.0, 100.0 * DETAIL_SAMPLE / max(table.row_count, 1))
    with connection, connection.cursor() as cursor:
        cursor.execute(db.query("detail", table=db.table(table.table_name)), {"share": share})
        points, detail_m = cursor.fetchone() or (True, None)
    return None if points else detail_m


def _flip(cursor: Any, tile_sets: Sequence[TileSet], identity: dict[str, Any]) -> None:
    cursor.execute(db.query("lock_timeout"))
    cursor.execute(db.query("lock_resource"), identity)
    cursor.execute(db.query("overtaken"), identity)
    (overtaken,) = cursor.fetchone() or (True,)
    if overtaken:
        raise Superseded(identity["resource_id"])
    for tile_set in tile_sets:
        cursor.execute(
            db.query("publish_layer"),
            {
                "layer_id": tile_set.layer_id,
                "generation": tile_set.generation,
                "minzoom": tile_set.minzoom,
                "maxzoom": tile_set.maxzoom,
            },
        )
        if cursor.rowcount != 1:
            raise Superseded(identity["resource_id"])
    cursor.execute(db.query("flip"), identity)
    cursor.execute(db.query("retire_older"), identity)
    cursor.execute(db.query("share_again"), identity)


def discard(*, resource_id: str, generation: int, dsn: str) -> int:
    """Drop the tables of a generation that never went live; the number of tables dropped."""
    with db.session(dsn, error=PublishError) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(db.query("staged_tables"), {"resource_id": resource_id, "generation": generation})
            names = [name for (name,) in cursor.fetchall()]
        return _drop(connection, names)


def retire(*, resource_id: str, dsn: str, generation: int) -> int:
    """Delete: nothing up to this generation is served from now on, or ever again.

    Not one tile more is given out once this returns.  A table that a running
    query still holds is left to the janitor.

    :returns: the number of tables dropped
    """
    identity = {"resource_id": resource_id, "generation": generation}
    with db.session(dsn, error=PublishError) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(db.query("share"), {"resource_id": resource_id, "shared": False})
            cursor.execute(db.query("tombstone"), identity)
            cursor.execute(db.query("bury"), identity)
            names = [name for (name,) in cursor.fetchall()]
        return _drop(connection, names)


def share(*, resource_id: str, shared: bool, dsn: str, hurried: bool = False) -> int:
    """Let tile servers without users have a resource's layers for 10 minutes, or none of them from now on.

    :param hurried: somebody waits: give up after seconds
    :returns: the number of layers that are shared
    """
    with _short(dsn, hurried=hurried) as cursor:
        cursor.execute(db.query("share"), {"resource_id": resource_id, "shared": shared})
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def unshare(resource_ids: Collection[str], *, dsn: str, hurried: bool = False) -> int:
    """Take the layers of resources back from tile servers; the number of resources that were shared."""
    with _short(dsn, hurried=hurried) as cursor:
        cursor.execute(db.query("unshare"), {"resource_ids": list(resource_ids)})
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def renew_shares(resource_ids: Collection[str], *, dsn: str) -> int:
    """What is shared of these resources is for 10 minutes more; the number of resources."""
    with _short(dsn, hurried=False) as cursor:
        cursor.execute(db.query("renew_shares"), {"resource_ids": list(resource_ids)})
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def shares(*, dsn: str, resource_ids: Collection[str] | None = None, hurried: bool = False) -> list[Share]:
    """Which resources with layers tile servers have.

    :param resource_ids: None: all
    """
    asked = None if resource_ids is None else list(resource_ids)
    with _short(dsn, hurried=hurried) as cursor:
        cursor.execute(db.query("shares"), {"resource_ids": asked})
        return [Share(*row) for row in cursor.fetchall()]


@contextmanager
def _short(dsn: str, *, hurried: bool) -> Iterator[Any]:
    """One short transaction."""
    timeout_s = db.HURRIED_CONNECT_TIMEOUT_S if hurried else db.CONNECT_TIMEOUT_S
    with (
        db.session(dsn, error=PublishError, timeout_s=timeout_s) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(db.query("hurry") if hurried else db.query("lock_timeout"))
        yield cursor


def staged(dsn: str) -> set[tuple[str, int]]:
    """Resources and generations that have tables which were not published."""
    with db.session(dsn, error=PublishError) as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("staged"))
        return set(cursor.fetchall())


def served(*, resource_id: str, generation: int, dsn: str) -> list[str]:
    """Ids of the layers of a generation that is live; none when it is not."""
    identity = {"resource_id": resource_id, "generation": generation}
    with db.session(dsn, error=PublishError) as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("served"), identity)
        return [layer_id for (layer_id,) in cursor.fetchall()]


def drop_old(*, dsn: str, grace_s: float) -> int:
    """The janitor's part: drop tables retired longer than ``grace_s`` ago, buried or abandoned ones."""
    with db.session(dsn, error=PublishError) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(db.query("droppable_tables"), {"grace_s": grace_s, "abandoned_s": ABANDONED_S})
            names = [name for (name,) in cursor.fetchall()]
        return _drop(connection, names)


def resource_ids(dsn: str) -> set[str]:
    """The resources that have tables here, live or not."""
    with db.session(dsn, error=PublishError) as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("resource_ids"))
        return {resource_id for (resource_id,) in cursor.fetchall()}


def unprepared(*, dsn: str, older_than_s: float, max_attempts: int, limit: int) -> list[str]:
    """Ids of served layers whose preparation was begun and never ended, oldest first."""
    params = {"older_than_s": older_than_s, "max_attempts": max_attempts, "limit": limit}
    with db.session(dsn, error=PublishError) as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("unprepared"), params)
        return [layer_id for (layer_id,) in cursor.fetchall()]


def newest(*, resource_id: str, dsn: str) -> int:
    """The highest generation that was ever seen of a resource here, live, staged or buried; 0: none."""
    with db.session(dsn, error=PublishError) as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("newest_generation"), {"resource_id": resource_id})
        (generation,) = cursor.fetchone() or (0,)
        return int(generation)


def _drop(connection: extensions.connection, table_names: Sequence[str]) -> int:
    """Drop tables, each in a transaction of its own; one that is in use waits for the next time."""
    dropped = 0
    for name in table_names:
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(db.query("lock_timeout"))
                cursor.execute(db.query("keep_out"), {"table_name": name})
                for each in (
                    rules.stored_name(name),
                    rules.pieces_name(name),
                    rules.sketches_name(name),
                    name,
                ):
                    cursor.execute(db.query("drop_table", table=db.table(each)))
                cursor.execute(db.query("forget_table"), {"table_name": name})
        except psycopg2.errors.LockNotAvailable:
            log.info("table %s is in use and will be dropped later", name)
        else:
            dropped += 1
    return dropped
