"""Two hundred tiny layers: what a layer costs beside its features."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tile_files, tile_servers
from benchmarks.databases import run
from benchmarks.tile_walk import Place, Timed, by_http, by_sql

A_FILE, FEATURES, TILES = 50, 50, 500


@dataclass(frozen=True)
class Tiny:
    """What was measured.

    :ivar seconds: of all imports
    :ivar ours, through, martin: tiles in PostGIS, ours by Martin, Martin's own
    """

    layers: int
    seconds: float
    ours: Timed
    through: Timed
    martin: Timed


def measure(count: int, loader: str, reads: str, admin: str) -> Tiny:
    """Import so many layers, and ask for tiles of any of them."""
    seconds = _import(count, loader, admin)
    layers = [layer_id for (layer_id,) in run(loader, "SELECT layer_id FROM hdxjobs.layer ORDER BY 1")]
    run(admin, "SELECT hdxjobs.share_v1(resource_id, true) FROM hdxjobs.resource")
    found = Tiny(len(layers), seconds, Timed(), Timed(), Timed())
    chance = random.Random(3)
    with tile_servers.martin(admin) as server:
        for number in range(TILES):
            layer_id, table, place = chance.choice(layers), chance.randrange(count), _place(chance)
            for into, new_ask in (
                (found.ours, by_sql(reads, layer_id, {})),
                (found.through, by_http(server.function_url(layer_id))),
                (found.martin, by_http(server.table_url(f"tiny_{table}"))),
            ):
                # Each asks twice: the first time opens the connection.
                ask = new_ask()
                ask((1, 0, 0))
                start = time.perf_counter()
                into.sizes[number, 0, 0] = len(ask(place))
                into.ms[number, 0, 0] = (time.perf_counter() - start) * 1000
    return found


def _import(count: int, loader: str, admin: str) -> float:
    root, seconds = Path(__file__).parent.parent, 0.0
    for first in range(0, count, A_FILE):
        file = _archive(first, min(A_FILE, count - first))
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.one_import", str(file), loader, f"tiny-{first}"]
        subprocess.run(command, check=True, cwd=root, capture_output=True)
        seconds += time.perf_counter() - began
    for number in range(count):
        tile_files.ogr2ogr(
            "-f", "PostgreSQL", f"PG:{admin}", str(tile_files.FOLDER / f"tiny-{number}.geojson"),
            "-nln", f"{tile_servers.SCHEMA}.tiny_{number}", "-lco", "GEOMETRY_NAME=geom",
        )  # fmt: skip
    return seconds


def _place(chance: random.Random) -> Place:
    zoom = chance.randint(0, 8)
    middle = 2**zoom // 2
    return zoom, middle, max(middle - 1, 0)


def _archive(first: int, count: int) -> Path:
    tile_files.FOLDER.mkdir(parents=True, exist_ok=True)
    path = tile_files.FOLDER / f"tiny-{first}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(first, first + count):
            text = json.dumps({"type": "FeatureCollection", "features": _features(number)})
            (tile_files.FOLDER / f"tiny-{number}.geojson").write_text(text)
            archive.writestr(f"tiny-{number}.geojson", text)
    return path


def _features(number: int) -> list[dict[str, object]]:
    chance = random.Random(number)
    return [
        {
            "type": "Feature",
            "properties": {"name": f"place {each}"},
            "geometry": {"type": "Point", "coordinates": [chance.uniform(-20, 20), chance.uniform(-20, 20)]},
        }
        for each in range(FEATURES)
    ]
