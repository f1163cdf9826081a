"""Tiles of heavy layers: how long preparing takes, what it stores, and how each tile of a random walk comes.

    ./dev bench tiles, or python -m benchmarks.bench_tiles [--small]

Beside it the same tiles by the plain query that a tile server sends for a table (ST_AsMVT of ST_AsMVTGeom
over an indexed box), on the same tables in the same database.  Writes benchmarks/tiles.md.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from benchmarks import tile_layers
from ckanext.hdxjobs.geopreview import db
from devstack import environment

REPORT = Path(__file__).with_name("tiles.md")
FULL = (
    ("points", 1_000_000),
    ("points", 5_000_000),
    ("squares", 2_000_000),
    ("mosaic", 2_000),
    ("giant", 2_000_000),
    ("routes", 50_000),
)
SMALL = (("points", 100_000), ("squares", 100_000), ("mosaic", 200), ("giant", 200_000), ("routes", 5_000))
TILES = 500
#: Tiles asked of the plain query, of the same walk; seconds after which a tile is cut off and no more are asked.
PLAIN_TILES = 60
PLAIN_TIMEOUT_S = 30
#: Cutting a polygon of so many vertices by the plain query may take minutes that no time limit ends: only zoom 0.
PLAIN_TILES_OF = {"giant": 1}
DEEPEST = 16
HALF_WORLD_M = 20037508.342789244

PLAIN = """
SELECT ST_AsMVT(t, 'layer', 4096, 'geom') FROM (
    SELECT ST_AsMVTGeom(hdx_geom, ST_TileEnvelope(%(z)s, %(x)s, %(y)s), 4096, 64, true) AS geom, {columns}
    FROM hdxjobs.{table} WHERE hdx_geom && ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => 64.0 / 4096)
) AS t WHERE geom IS NOT NULL
"""


@dataclass(frozen=True)
class Timed:
    """What a walk measured: milliseconds and bytes of each tile, None for what did not come in time."""

    ms: list[float]
    sizes: list[int]
    stored_ms: list[float]
    late: int = 0

    def quantile(self, share: float) -> float:
        return sorted(self.ms)[min(int(share * len(self.ms)), len(self.ms) - 1)]


def main(arguments: list[str]) -> int:
    rows = []
    with scratch() as (loader, reads):
        for kind, count in SMALL if "--small" in arguments else FULL:
            made = tile_layers.make(kind, count, loader)
            tiles = walk(loader, made.table_name)
            ours, plain = (
                measure_ours(reads, made, tiles),
                measure_plain(loader, made, tiles[: PLAIN_TILES_OF.get(kind, PLAIN_TILES)]),
            )
            rows.append(line(kind, count, made, ours, plain))
            print(rows[-1], flush=True)
        REPORT.write_text(page(rows, loader), encoding="utf-8")
    return 0


@contextmanager
def scratch() -> Iterator[tuple[str, str]]:
    """A map database of the run's own: its URLs for loading and for reading."""
    server = urlsplit(environment.for_tests()["HDXJOBS_TEST_PG_URL"])
    name = f"bench_{os.getpid()}"
    admin = psycopg2.connect(server.geturl())
    admin.autocommit = True
    cursor = admin.cursor()
    cursor.execute(f"CREATE DATABASE {name}")
    host = server.netloc.rpartition("@")[2]
    urls = [
        urlunsplit(server._replace(netloc=f"{name}_{role}:secret@{host}", path=f"/{name}"))
        for role in ("loader", "tiles")
    ]
    try:
        db.init(urlunsplit(server._replace(path=f"/{name}")), loader_url=urls[0], tiles_url=urls[1])
        yield urls[0], urls[1]
    finally:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP ROLE IF EXISTS {name}_loader")
        cursor.execute(f"DROP ROLE IF EXISTS {name}_tiles")
        admin.close()


def walk(dsn: str, table: str) -> list[tuple[int, int, int]]:
    """Tiles where the data is, the one of zoom 0 first, then zooms 0 to 16 by chance; the same each time."""
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(
            "SELECT ST_X(p), ST_Y(p) FROM (SELECT (ST_DumpPoints(ST_Simplify(hdx_geom, 3000, true))).geom AS p"
            f" FROM (SELECT hdx_geom FROM hdxjobs.{table} ORDER BY random() LIMIT 300) AS few) AS q"
            " ORDER BY random() LIMIT 500"
        )
        places = cursor.fetchall()
    connection.close()
    chance = random.Random(7)
    tiles = [(0, 0, 0)]
    while len(tiles) < TILES:
        (x, y), zoom = chance.choice(places), chance.randint(0, DEEPEST)
        shares = ((x + HALF_WORLD_M) / (2 * HALF_WORLD_M), (HALF_WORLD_M - y) / (2 * HALF_WORLD_M))
        column, row = (min(2**zoom - 1, max(0, int(share * 2**zoom))) for share in shares)
        tiles.append((zoom, column, row))
    return tiles


def measure_ours(dsn: str, made: tile_layers.Made, tiles: list[tuple[int, int, int]]) -> Timed:
    result = Timed([], [], [])
    with reading(dsn) as cursor:
        for z, x, y in tiles:
            began = time.perf_counter()
            cursor.execute(
                "SELECT mvt, state FROM hdxjobs.tile_v2(%s, 1, %s, %s, %s)", (made.tile_set.layer_id, z, x, y)
            )
            mvt, state = cursor.fetchone()
            result.ms.append((time.perf_counter() - began) * 1000)
            result.sizes.append(len(mvt))
            if state == "stored":
                result.stored_ms.append(result.ms[-1])
    return result


def measure_plain(dsn: str, made: tile_layers.Made, tiles: list[tuple[int, int, int]]) -> Timed:
    ms, sizes, late = [], [], 0
    columns = ", ".join(field.column for field in made.tile_set.fields)
    statement = PLAIN.format(columns=columns, table=made.table_name)
    with reading(dsn, f"-c statement_timeout={PLAIN_TIMEOUT_S * 1000}") as cursor:
        for z, x, y in tiles:
            began = time.perf_counter()
            try:
                cursor.execute(statement, {"z": z, "x": x, "y": y})
                sizes.append(len(cursor.fetchone()[0]))
            except psycopg2.errors.QueryCanceled:
                late += 1
            ms.append((time.perf_counter() - began) * 1000)
            if sum(ms) > 2 * PLAIN_TIMEOUT_S * 1000:
                break
    return Timed(ms, sizes or [0], [], late)


@contextmanager
def reading(dsn: str, options: str = "") -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(dsn, options=f"-c jit=off -c max_parallel_workers_per_gather=0 {options}")
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def line(kind: str, count: int, made: tile_layers.Made, ours: Timed, plain: Timed) -> str:
    stored = statistics.median(ours.stored_ms) if ours.stored_ms else 0
    late = f" ({plain.late} over {PLAIN_TIMEOUT_S} s)" if plain.late else ""
    cells = (
        f"{kind}, {count:,}",
        f"{made.phase_one_s:.1f}",
        f"{made.prepared.seconds:.1f}",
        f"{made.table_bytes / 1e6:.0f}",
        f"{made.stored_bytes / 1e6:.0f}",
        f"{made.prepared.tiles:,} / {made.prepared.pieces:,}",
        f"{stored:.2f}",
        f"{ours.quantile(0.5):.1f}",
        f"{ours.quantile(0.99):.0f}",
        f"{max(ours.ms):.0f}",
        f"{max(ours.sizes) / 1e3:.0f}",
        f"{max(plain.ms):,.0f}{late}",
        f"{max(plain.sizes) / 1e3:,.0f}",
        f"{max(plain.ms) / max(ours.ms):,.0f} ×",
    )
    return "| " + " | ".join(cells) + " |"


def page(rows: list[str], dsn: str) -> str:
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), postgis_full_version()")
        server, postgis = cursor.fetchone()
    connection.close()
    heads = (
        "layer", "publish s", "prepare s", "table MB", "tiles + pieces MB", "tiles / pieces", "stored ms",
        "p50 ms", "p99 ms", "max ms", "max kB", "plain max ms", "plain max kB", "worst against worst",
    )  # fmt: skip
    return "\n".join(
        (
            "# Tiles of heavy layers",
            "",
            f"{TILES} tiles a layer, zooms 0 to {DEEPEST} where the data is, one connection, in PostGIS. *Plain* is the",
            f"query of a tile server for a table, on the first {PLAIN_TILES} tiles of the same walk. Load while it ran:",
            f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {platform.machine()}, PostgreSQL {server.split()[0]},"
            f" {postgis.split(' CORE')[0]}.",
            "",
            "Of the giant the plain query is asked for zoom 0 only: its tile 4/8/8 was not done after seven minutes, and a",
            "statement_timeout of 30 s does not end it.",
            "",
            "| " + " | ".join(heads) + " |",
            "|" + "---|" * len(heads),
            *rows,
            "",
            "Made by `./dev bench tiles`.",
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
