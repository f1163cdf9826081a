"""Stored tiles through CKAN: a whole site with one web process, and what a tile costs on its way."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import requests

from benchmarks import analytics_requests, tile_files
from benchmarks.databases import as_admin, run, scratch
from benchmarks.measure import Latencies
from benchmarks.tile_files import Wanted
from benchmarks.tile_walk import by_sql
from devstack.own_site import TOOLS, Site

LAYER = Wanted("points-100k", "100,000 points", "points", 100_000)
REQUESTS, CLIENTS, SECONDS = 500, 8, 8
CROWD, CROWD_S = 200, 15
MEMORY = {"asked of PostGIS each time": 0, "from memory": 32 * 1024**2}


@dataclass(frozen=True)
class Through:
    """What a site with one web process (four threads) does with a stored tile.

    :ivar in_postgis: the tile in PostGIS itself
    :ivar one: a client that asks again and again
    :ivar a_second: tiles a second that eight clients get
    :ivar page_alone, page_amid: a page of the site, and the same while 200 clients ask for the tile
    :ivar connections: to the map database at that time
    """

    in_postgis: Latencies
    one: Latencies
    a_second: float
    page_alone: Latencies
    page_amid: Latencies
    connections: int
    tile_bytes: int


def measure() -> Mapping[str, Through]:
    """By where the tile comes from."""
    found = {}
    for title, memory_bytes in MEMORY.items():
        with scratch() as (loader, reads):
            options = {
                "ckanext.hdxjobs.postgis.url": loader,
                "ckanext.hdxjobs.postgis.tiles_url": reads,
                "ckanext.hdxjobs.tiles.memory_bytes": memory_bytes,
                "ckanext.hdxjobs.analytics.enabled": "false",
            }
            with analytics_requests.site(options) as site:
                found[title] = _measure(site, loader, reads)
    return found


def _measure(site: Site, loader: str, reads: str) -> Through:
    layer = _import(site, loader)
    url = layer["tiles"].format(z=0, x=0, y=0)
    session = _session()
    tile = _get(session, url)
    if tile.headers["X-Tile"] != "stored":
        raise SystemExit(f"the tile is not stored but {tile.headers['X-Tile']}")
    in_postgis, one = Latencies(), Latencies()
    ask = by_sql(reads, layer["layer_id"], {})()
    for _ in range(REQUESTS):
        _time(in_postgis, lambda: ask((0, 0, 0)))
        _time(one, lambda: _get(session, url))
    page, alone, amid = f"{site.url}/api/3/action/status_show", Latencies(), Latencies()
    _visit(page, alone, 5)
    rate = sum(_crowd(url, CLIENTS, SECONDS)) / SECONDS
    visitor = threading.Thread(target=_visit, args=(page, amid, CROWD_S))
    visitor.start()
    _crowd(url, CROWD, CROWD_S)
    visitor.join()
    return Through(in_postgis, one, rate, alone, amid, _connections(loader), len(tile.content))


def _import(site: Site, loader: str) -> dict[str, str]:
    file = tile_files.path(LAYER, as_admin(loader))
    site.call("package_create", name="tiles")
    made = site.call(
        "resource_create", package_id="tiles", name="points", format="FlatGeobuf",
        files={"upload": (file.name, file.read_bytes())},
    )  # fmt: skip
    worker = [str(TOOLS / "ckan"), "-c", str(site.ini), "jobs", "worker", "geo_q", "--burst"]
    subprocess.run(worker, check=True, capture_output=True)
    status = site.call("hdx_geopreview_status", id=made["id"])
    if status["state"] != "ready":
        raise SystemExit(f"the import failed: {status['message']}")
    layer: dict[str, str] = status["layers"][0]
    return layer


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["Accept-Encoding"] = "gzip"
    return session


def _get(session: requests.Session, url: str) -> requests.Response:
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    return answer


def _time(into: Latencies, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    into.ms.append((time.perf_counter() - began) * 1000)


def _visit(page: str, into: Latencies, seconds: float) -> None:
    session, end = _session(), time.monotonic() + seconds
    while time.monotonic() < end:
        _time(into, lambda: _get(session, page))
        time.sleep(0.1)


def _crowd(url: str, clients: int, seconds: float) -> list[int]:
    """How many tiles each of many clients got."""
    done, end = [0] * clients, time.monotonic() + seconds

    def client(number: int) -> None:
        session = _session()
        while time.monotonic() < end:
            try:
                done[number] += session.get(url, timeout=60).ok
            except requests.RequestException:
                continue

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def _connections(loader: str) -> int:
    mine = "datname = current_database() AND application_name = 'hdxjobs-tiles'"
    return int(run(as_admin(loader), f"SELECT count(*) FROM pg_stat_activity WHERE {mine}")[0][0])
