"""A PostGIS database of the run's own, and the whole pipeline from bytes to tiles."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import mapbox_vector_tile
import psycopg2
import pytest
import weblinks
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import db, detect, layers, prepare, publish, pyramid, reader, tiles
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Amount, Download, Notice, Table, TileSet

ALL_FORMATS = frozenset(FORMATS)

#: More than any file of the tests has.
AMPLE = Amount(10**6, 10**9, 10**10)
LIMITS = reader.Limits(timeout_s=60, memory_bytes=4 * 1024**3)


@dataclass(frozen=True)
class GeoDatabase:
    """The URLs of a map database, one a role."""

    admin: str
    loader: str
    tiles: str

    def rows(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """What the administrator sees."""
        with psycopg2.connect(self.admin) as connection, connection.cursor() as cursor:
            cursor.execute(statement, params)
            rows = cursor.fetchall()
        connection.close()
        return rows

    def layer_tables(self) -> list[str]:
        return [
            name for (name,) in self.rows("SELECT tablename FROM pg_tables WHERE tablename LIKE 'l\\_%%g%%'")
        ]


def _url(base: str, *, database: str, role: str | None = None) -> str:
    parts = urlsplit(base)
    netloc = parts.netloc if role is None else f"{role}:secret@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))


def _run(dsn: str, *statements: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@contextmanager
def _alone(server: str) -> Iterator[None]:
    """One process of the run at a time: roles are the whole server's."""
    connection = psycopg2.connect(server)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        yield
    connection.close()


@pytest.fixture(scope="session")
def geo() -> Iterator[GeoDatabase]:
    """A fresh map database with roles of its own; gone after the run."""
    server = os.environ["HDXJOBS_TEST_PG_URL"]
    name = f"geo_service_{uuid.uuid4().hex[:8]}"
    roles = f"{name}_loader", f"{name}_tiles"
    with new_database(name, *roles) as database:
        with _alone(server):
            db.init(database.admin, loader_url=database.loader, tiles_url=database.tiles)
        yield database
    _run(server, *(f"DROP ROLE {role}" for role in roles))


@contextmanager
def new_database(name: str, loader: str, reads: str) -> Iterator[GeoDatabase]:
    """An empty database and its URLs by role; gone afterwards."""
    server = os.environ["HDXJOBS_TEST_PG_URL"]
    _run(server, f"CREATE DATABASE {name}")
    try:
        yield GeoDatabase(
            admin=_url(server, database=name),
            loader=_url(server, database=name, role=loader),
            tiles=_url(server, database=name, role=reads),
        )
    finally:
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Imported:
    """What an import made, and a look at it."""

    tables: tuple[Table, ...]
    tile_sets: tuple[TileSet, ...]
    notices: tuple[Notice, ...]
    geo: GeoDatabase
    tile_reader: tiles.TileReader

    @property
    def codes(self) -> set[str]:
        return {notice.code for notice in self.notices}

    def rows(self, *keys: str, layer: int = 0) -> list[tuple[Any, ...]]:
        """Values of fields by their keys, in the order of the file."""
        columns = {field.key: field.column for field in self.tile_sets[layer].fields}
        statement = sql.SQL("SELECT {} FROM {} ORDER BY hdx_fid").format(
            sql.SQL(", ").join(sql.Identifier(columns[key]) for key in keys),
            db.table(self.tables[layer].table_name),
        )
        with psycopg2.connect(self.geo.admin) as connection:
            text = statement.as_string(connection)
        connection.close()
        return self.geo.rows(text)

    def lonlat(self, layer: int = 0) -> list[str]:
        """Geometries as WKT in degrees, rounded to a centimetre."""
        name = self.tables[layer].table_name
        found = self.geo.rows(
            f"SELECT ST_AsText(ST_Transform(hdx_geom, 4326), 7) FROM hdxjobs.{name} ORDER BY hdx_fid"
        )
        return [text for (text,) in found]

    def tile(self, z: int = 0, x: int = 0, y: int = 0, *, layer: int = 0) -> list[dict[str, Any]]:
        """The features of a tile."""
        tile_set = self.tile_sets[layer]
        content = self.tile_reader.tile(tile_set.layer_id, tile_set.generation, z, x, y)
        return decode(content.body) if content else []


def decode(content: bytes | None) -> list[dict[str, Any]]:
    """The features of an encoded tile, sorted by id."""
    assert content is not None
    layers = mapbox_vector_tile.decode(content) if content else {}
    return sorted(layers.get("layer", {}).get("features", []), key=lambda item: item["id"])


@pytest.fixture(scope="session")
def tile_reader(geo: GeoDatabase) -> Iterator[tiles.TileReader]:
    reads = tiles.TileReader(geo.tiles, 60)
    yield reads
    reads.close()


@pytest.fixture
def resource_id() -> str:
    """What no other test calls a resource of its own: the tests of a process share a database."""
    return f"res-{uuid.uuid4().hex}"


@pytest.fixture
def download(tmp_path: Path) -> Callable[..., Download]:
    """Bytes as a fetched file in a job's folder."""

    def make(
        content: bytes, *, name: str = "file", resource_id: str | None = None, generation: int = 1
    ) -> Download:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir(mode=0o700)
        path = folder / "download"
        path.write_bytes(content)
        return Download(
            resource_id or f"res-{uuid.uuid4().hex}", generation, path, name, "", len(content), ""
        )

    return make


@pytest.fixture
def preferred() -> str:
    """The reader that is asked first; a test may name the other one."""
    return "pyogrio"


@pytest.fixture
def readers(preferred: str) -> Iterator[reader.Readers]:
    """The parsers of a job."""
    with reader.Readers(LIMITS, preferred=preferred) as found:
        yield found


@pytest.fixture
def detected(download: Callable[..., Download], readers: reader.Readers) -> Callable[..., Any]:
    """``detect`` on bytes."""

    def run(
        content: bytes,
        *,
        max_unpacked_bytes: int = 10**9,
        max_layers: int = 50,
        formats: frozenset[str] = ALL_FORMATS,
        **kw: Any,
    ) -> Any:
        file = download(content, **kw)
        return detect.detect(
            file,
            folder=file.path.parent,
            max_unpacked_bytes=max_unpacked_bytes,
            max_layers=max_layers,
            formats=formats,
            readers=readers,
        )

    return run


@pytest.fixture
def imported_into(detected: Callable[..., Any], readers: reader.Readers) -> Callable[..., Imported]:
    """The whole way into a map database: bytes -> layers -> tables -> tile sets."""

    def run(
        geo: GeoDatabase,
        tile_reader: tiles.TileReader,
        content: bytes,
        *,
        caps: Amount = AMPLE,
        max_columns: int = 1500,
        budget: pyramid.Budget | None = None,
        **kw: Any,
    ) -> Imported:
        found, notices = detected(content, **kw)
        tables, damaged = layers.load_all(
            found,
            dsn=geo.loader,
            caps=caps,
            max_columns=max_columns,
            readers=readers,
            progress=lambda far: None,
        )
        first = found[0]
        tile_sets = publish.publish(
            tables, resource_id=first.resource_id, generation=first.generation, dsn=geo.loader
        )
        prepare.prepare(tile_sets, dsn=geo.loader, budget=budget)
        said = (*notices, *damaged, *(notice for table in tables for notice in table.notices))
        return Imported(tuple(tables), tile_sets, said, geo, tile_reader)

    return run


@pytest.fixture
def imported(
    geo: GeoDatabase, tile_reader: tiles.TileReader, imported_into: Callable[..., Imported]
) -> Callable[..., Imported]:
    """The whole way into the run's map database."""
    return partial(imported_into, geo, tile_reader)


@pytest.fixture(scope="session")
def web() -> Iterator[Any]:
    """A web server on 127.0.0.1 for the whole run."""
    with weblinks.serving() as server:
        yield server


@pytest.fixture
def site(web: Any) -> Any:
    """The web server, with nobody's visits on its list."""
    web.visits.clear()
    return web


@pytest.fixture
def origin(site: Any) -> str:
    return f"http://127.0.0.1:{site.server_address[1]}"
