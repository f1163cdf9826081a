"""The same walk through a layer for everybody who serves it: 500 tiles where its features are, each asked once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg2
import requests

Place = tuple[int, int, int]
#: A tile by its place: its bytes.
Ask = Callable[[Place], bytes]

TILES, DEEPEST = 500, 16
HALF_WORLD_M = 20037508.342789244
#: Seconds after which a tile is given up, and after which no more are asked for.
PATIENCE_S, ENOUGH_S = 60, 25
CLIENTS, CLIENTS_S = 8, 8


class LateError(Exception):
    """The tile did not come in time."""


class RefusedError(Exception):
    """There is no such tile: Martin gives none below a layer's deepest zoom, which clients enlarge."""


@dataclass
class Timed:
    """What a walk measured, by place.

    :ivar late: tiles that did not come within ``PATIENCE_S``, or at all
    """

    ms: dict[Place, float] = field(default_factory=dict)
    sizes: dict[Place, int] = field(default_factory=dict)
    late: int = 0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.ms.values())
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0

    @property
    def worst_ms(self) -> float:
        return max(self.ms.values(), default=0.0)

    @property
    def largest(self) -> int:
        return max(self.sizes.values(), default=0)


def walk(dsn: str, table: str, column: str) -> list[Place]:
    """Tiles where the data is, the one of zoom 0 first, then zooms 0 to 16 by chance; the same each time.

    :param column: of the geometries
    """
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(
            "SELECT ST_X(p), ST_Y(p) FROM (SELECT (ST_DumpPoints(ST_Simplify(shape, 3000, true))).geom AS p"
            f" FROM (SELECT ST_Transform({column}, 3857) AS shape FROM {table} ORDER BY random() LIMIT 300)"
            " AS few) AS q ORDER BY random() LIMIT 500"
        )
        places = [place for place in cursor.fetchall() if max(map(abs, place)) < HALF_WORLD_M]
    connection.close()
    chance = random.Random(7)
    tiles = [(0, 0, 0)]
    while len(tiles) < TILES:
        (x, y), zoom = chance.choice(places), chance.randint(0, DEEPEST)
        shares = ((x + HALF_WORLD_M) / (2 * HALF_WORLD_M), (HALF_WORLD_M - y) / (2 * HALF_WORLD_M))
        column_, row = (min(2**zoom - 1, max(0, int(share * 2**zoom))) for share in shares)
        tiles.append((zoom, column_, row))
    return tiles


def timed(ask: Ask, tiles: Sequence[Place]) -> Timed:
    """Ask for tiles one after the other, until it has taken long enough."""
    found, began = Timed(), time.perf_counter()
    for place in tiles:
        if time.perf_counter() - began > ENOUGH_S:
            break
        start = time.perf_counter()
        try:
            found.sizes[place] = len(ask(place))
        except LateError:
            found.late += 1
        except RefusedError:
            continue
        found.ms[place] = (time.perf_counter() - start) * 1000
    return found


def a_second(new_ask: Callable[[], Ask], tiles: Sequence[Place]) -> float:
    """Tiles a second that eight clients get, each on a connection of its own."""
    done, end = [0] * CLIENTS, time.monotonic() + CLIENTS_S

    def client(number: int) -> None:
        ask, chance = new_ask(), random.Random(number)
        while time.monotonic() < end:
            try:
                ask(chance.choice(tiles))
            except (LateError, RefusedError):
                continue
            done[number] += time.monotonic() < end

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / CLIENTS_S


def by_http(url: str) -> Callable[[], Ask]:
    """Clients of a server.

    :param url: with {z}, {x} and {y}
    """

    def new() -> Ask:
        session = requests.Session()
        session.trust_env = False
        session.headers["Accept-Encoding"] = "identity"

        def ask(place: Place) -> bytes:
            z, x, y = place
            try:
                answer = session.get(url.format(z=z, x=x, y=y), timeout=PATIENCE_S)
            except requests.RequestException as error:
                raise LateError from error
            if answer.status_code == requests.codes.not_found:
                raise RefusedError
            if answer.status_code not in (200, 204):
                raise LateError
            return answer.content

        return ask

    return new


def by_sql(dsn: str, layer_id: str, states: dict[Place, str]) -> Callable[[], Ask]:
    """Clients of PostGIS itself, by the function that web requests use.

    :param states: of the tiles that were asked for, stored or live, by their place; is filled
    """

    def new() -> Ask:
        connection = psycopg2.connect(dsn, options="-c jit=off -c max_parallel_workers_per_gather=0")
        connection.autocommit = True
        cursor = connection.cursor()

        def ask(place: Place) -> bytes:
            cursor.execute("SELECT mvt, state FROM hdxjobs.tile_v2(%s, 1, %s, %s, %s)", (layer_id, *place))
            mvt, states[place] = cursor.fetchone()
            return bytes(mvt)

        return ask

    return new
