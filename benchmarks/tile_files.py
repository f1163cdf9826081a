"""Files of the layers whose tiles are measured, made anew or fetched wherever they are missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from devstack.paths import DEV

FOLDER = DEV / "bench"

_PARTS = re.split(r"^-- name: (\w+)$", Path(__file__).with_suffix(".sql").read_text(), flags=re.MULTILINE)
_MADE = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))


@dataclass(frozen=True)
class Wanted:
    """A layer to measure.

    :ivar name: of its file and its table
    :ivar kind: of a query of tile_files.sql; or "npm", or "file" of somebody
    :ivar count: features (vertices of the giant)
    :ivar package, member: where it is in the npm registry; the file's path
    :ivar has_peers: whether other servers are asked too
    :ivar peers_see: tiles that these are asked for at most
    """

    name: str
    title: str
    kind: str
    count: int = 0
    package: str = ""
    member: str = ""
    layer: str = ""
    has_peers: bool = True
    peers_see: int = 500


def path(wanted: Wanted, dsn: str) -> Path:
    """The layer's file, whole.

    :param dsn: a database in which it can be made
    """
    if wanted.kind == "file":
        return Path(wanted.member)
    suffix = ".geojson" if wanted.kind == "npm" and not wanted.layer else ".fgb"
    file = FOLDER / f"{wanted.name}{suffix}"
    if not file.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        half = FOLDER / f"half-{file.name}"
        half.unlink(missing_ok=True)
        _fetch(wanted, half) if wanted.kind == "npm" else _make(wanted, dsn, half)
        half.rename(file)
    return file


def ogr2ogr(*arguments: str) -> None:
    """Run it; COPY for PostgreSQL, objects of any size in GeoJSON."""
    settings = {"PG_USE_COPY": "YES", "OGR_GEOJSON_MAX_OBJ_SIZE": "0"}
    done = subprocess.run(
        ["ogr2ogr", *arguments], capture_output=True, text=True, env=os.environ | settings, check=False
    )
    if done.returncode:
        raise SystemExit(f"ogr2ogr: {done.stderr.strip()[-500:]}")


def _make(wanted: Wanted, dsn: str, file: Path) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(_MADE["clusters"])
        cursor.execute(f"CREATE TABLE public.made AS {_MADE[wanted.kind]}", {"count": wanted.count})
    connection.close()
    ogr2ogr(
        "-f", "FlatGeobuf", "-nln", wanted.name, "-t_srs", "EPSG:4326", str(file), f"PG:{dsn}", "public.made"
    )
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE public.made")
    connection.close()


def _fetch(wanted: Wanted, file: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(f"{wanted.title} come from the npm registry: install npm")
    done = subprocess.run(
        [npm, "pack", "--silent", wanted.package], cwd=FOLDER, check=True, capture_output=True, text=True
    )
    packed = FOLDER / done.stdout.split()[-1]
    plain = FOLDER / f"{wanted.name}.json" if wanted.layer else file
    with tarfile.open(packed) as archive, plain.open("wb") as target:
        member = archive.extractfile(wanted.member)
        assert member is not None
        shutil.copyfileobj(member, target)
    packed.unlink()
    if wanted.layer:
        ogr2ogr("-f", "FlatGeobuf", "-a_srs", "EPSG:4326", str(file), str(plain), wanted.layer)
        plain.unlink()
