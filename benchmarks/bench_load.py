"""From file to published map, beside ogr2ogr: ./dev bench load writes its part of benchmarks/README.md.

    ./dev bench load, or python -m benchmarks.bench_load [--small]

Each turn loads a file three ways into the same database, one after the other: by the whole import, as a
worker makes it; by ogr2ogr with COPY and a GiST index, which is all of its work; and by ogr2ogr as the
original stack called it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import psycopg2

from benchmarks import load_files, report
from benchmarks.databases import as_admin, scratch
from benchmarks.report import Line
from devstack.steps import step

TURNS = 5
#: What the original stack passed, beside PG_USE_COPY=NO.
ORIGINAL = ("-lco", "OGR_PG_ENABLE_METADATA=NO", "-mapFieldType", "Real=String", "-t_srs", "EPSG:4326")
#: Times ogr2ogr with COPY that a whole import may take, by the beginning of the file's name; memory in MB.
WANTED = {"points": (1.0, 600), "polygons": (1.0, None), "countries": (1.5, 2048)}


@dataclass
class Found:
    """What the turns of a file measured.

    :ivar ours: seconds of each step, a turn each
    :ivar copy, original: seconds of ogr2ogr; None where it refuses the file
    """

    ours: list[dict[str, float]] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)
    original: list[float] = field(default_factory=list)
    worker_mb: float = 0.0
    parser_mb: float = 0.0
    features: int = 0

    @property
    def total_s(self) -> float:
        return statistics.median(sum(turn.values()) for turn in self.ours)

    def step_s(self, name: str) -> float:
        return statistics.median(turn[name] for turn in self.ours)

    def against(self, peer: list[float]) -> float:
        """How many times the peer's time ours takes, the median of the turns' ratios."""
        return statistics.median(
            sum(turn.values()) / other for turn, other in zip(self.ours, peer, strict=True)
        )


def main(arguments: list[str]) -> None:
    small = "--small" in arguments
    files = load_files.all_files(0.02 if small else 1)
    lines, rows = [], []
    with scratch() as (loader, _):
        admin = as_admin(loader)
        for title, path in files.items():
            with step(f"{title}, {TURNS} turns"):
                found = _turns(path, loader, admin)
            rows.append(_row(title, path, found))
            lines += _lines(title, path, found)
    texts = [_steps(rows), report.table(lines)]
    if not small:
        report.write("load", texts, packages=_packages())
    print("\n\n".join(texts))
    report.close(lines)


def _turns(path: Path, loader: str, admin: str) -> Found:
    found = Found()
    for _ in range(TURNS):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.one_import", str(path), loader],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        said = json.loads(done.stdout)
        found.ours.append(said["seconds"])
        found.features = said["features"]
        found.worker_mb = max(found.worker_mb, said["worker_mb"])
        found.parser_mb = max(found.parser_mb, said["parser_mb"])
        found.copy.append(_ogr2ogr(path, admin, {"PG_USE_COPY": "YES"}, "-t_srs", "EPSG:3857"))
        found.original.append(_ogr2ogr(path, admin, {"PG_USE_COPY": "NO"}, *ORIGINAL))
        _forget(admin)
    return found


def _ogr2ogr(path: Path, dsn: str, settings: dict[str, str], *arguments: str) -> float:
    """Seconds of one load."""
    name = f"/vsizip/{path}" if path.suffix == ".zip" else str(path)
    command = ["ogr2ogr", "-f", "PostgreSQL", f"PG:{dsn}", name, "-nln", "public.peer", "-overwrite",
               "-lco", "SPATIAL_INDEX=GIST", *arguments]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env=os.environ | {"OGR_GEOJSON_MAX_OBJ_SIZE": "0"} | settings,
    )
    return time.perf_counter() - began


def _forget(admin: str) -> None:
    """Drop what a turn made, so that the last one finds what the first one found."""
    connection = psycopg2.connect(admin)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename ~ '^([klsp]_.*_g1|peer)$'"
        )
        for schema, name in cursor.fetchall():
            cursor.execute(f'DROP TABLE "{schema}"."{name}"')
        cursor.execute("DELETE FROM hdxjobs.layer")
        cursor.execute("CHECKPOINT")
    connection.close()


def _row(title: str, path: Path, found: Found) -> str:
    cells = [
        title,
        f"{path.stat().st_size / 1e6:.0f}",
        *(f"{found.step_s(name):.1f}" for name in ("fetch", "detect", "load", "publish", "prepare")),
        f"{found.total_s:.1f}",
        f"{statistics.median(found.copy):.1f}",
        f"{statistics.median(found.original):.1f}",
        f"{found.features / found.total_s:,.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _steps(rows: list[str]) -> str:
    heads = (
        "file", "MB", "fetch s", "detect s", "load s", "publish s", "prepare s", "whole import s", "ogr2ogr COPY + GiST s",
        "ogr2ogr, original's flags s", "features/s",
    )  # fmt: skip
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows])


def _lines(title: str, path: Path, found: Found) -> list[Line]:
    most, memory_mb = WANTED.get(
        path.stem.partition("-")[0] if path.suffix == ".geojson" else "", (None, None)
    )
    copy, original, mb = (
        found.against(found.copy),
        found.against(found.original),
        found.worker_mb + found.parser_mb,
    )
    return [
        Line(
            f"{title}: whole import against ogr2ogr with COPY and GiST", f"{copy:.2f} ×",
            f"≤ {most} ×" if most else "", copy <= most if most else None,
        ),
        Line("… against ogr2ogr with the original's flags", f"{original:.2f} ×", "≤ 0.3 ×" if most else "",
             original <= 0.3 if most else None),
        Line(
            "… most memory of worker and parser", f"{found.worker_mb:.0f} + {found.parser_mb:.0f} MB",
            f"≤ {memory_mb} MB" if memory_mb else "", mb <= memory_mb if memory_mb else None,
        ),
    ]  # fmt: skip


def _packages() -> str:
    peer = subprocess.run(["ogr2ogr", "--version"], check=True, capture_output=True, text=True).stdout.split(
        ","
    )[0]
    names = ", ".join(f"{name} {version(name)}" for name in ("pyogrio", "pyarrow", "shapely", "numpy"))
    return f"{names}, ogr2ogr of {peer}"


if __name__ == "__main__":
    if shutil.which("ogr2ogr") is None:
        raise SystemExit("ogr2ogr is the peer: install gdal-bin")
    main(sys.argv[1:])
