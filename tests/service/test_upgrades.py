"""Map databases of older releases, with layers in them, are brought up to date."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import makers
import psycopg2
import pytest
from conftest import GeoDatabase, decode, new_database

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import db, probes, tiles

SCHEMAS = Path(__file__).parent / "old_schemas"
VERSIONS = sorted(int(path.stem) for path in SCHEMAS.glob("*.sql"))
#: The first version whose layers have stored tiles and pieces.
PREPARES = 2
LAYER, LATE_LAYER = "a" * 20, "b" * 20
#: The world, a tile with all three towns, and one with two of them.
PLACES = ((0, 0, 0), (5, 19, 16), (8, 154, 128))

FEATURES = """
CREATE TABLE hdxjobs.l_{layer}_g1 (hdx_fid bigint NOT NULL, hdx_geom geometry(Geometry, 3857), c1 text);
INSERT INTO hdxjobs.l_{layer}_g1 VALUES {towns},
    (4, ST_Transform(ST_MakeEnvelope(30, -10, 40, 10, 4326), 3857), 'Region');
INSERT INTO hdxjobs.resource (resource_id, live_gen) VALUES ('res-{layer}', 1);
INSERT INTO hdxjobs.layer (
    layer_id, generation, resource_id, table_name, name, geometry_type, feature_count, bbox_lonlat, fields,
    source_crs, published_at
) VALUES (
    '{layer}', 1, 'res-{layer}', 'l_{layer}_g1', 'Towns', 'Geometry', 4, '{{30, -10, 40, 10}}',
    '[{{"name": "name", "type": "string", "column": "c1", "key": "name"}}]', 'EPSG:4326', now()
);
"""

#: As a worker of schemas 2 and 3 leaves a layer: the region in a piece, the world's tile stored.
PREPARED = """
ALTER TABLE hdxjobs.l_{layer}_g1 ADD COLUMN hdx_walk boolean NOT NULL DEFAULT false;
UPDATE hdxjobs.l_{layer}_g1 SET hdx_walk = true WHERE hdx_fid = 4;
CREATE TABLE hdxjobs.p_{layer}_g1 (cell bigint NOT NULL, fid bigint NOT NULL, shape geometry NOT NULL);
INSERT INTO hdxjobs.p_{layer}_g1
    SELECT hdxjobs.cell_v1(0, 0, 0), hdx_fid, hdx_geom FROM hdxjobs.l_{layer}_g1 WHERE hdx_fid = 4;
CREATE TABLE hdxjobs.s_{layer}_g1 (
    cell bigint PRIMARY KEY, mvt bytea NOT NULL, amount bigint NOT NULL, dropped bigint NOT NULL
);
UPDATE hdxjobs.layer SET prepared_at = now(), pieces = 1 WHERE layer_id = '{layer}';
INSERT INTO hdxjobs.s_{layer}_g1
    SELECT hdxjobs.cell_v1(0, 0, 0), hdxjobs.tile_v1('{layer}', 1, 0, 0, 0), 4, 7;
UPDATE hdxjobs.layer SET tiles = 1 WHERE layer_id = '{layer}';
"""


@dataclass(frozen=True)
class Old:
    """A map database as an older release left it.

    :ivar shown: the features of the layer's tiles by place, as that release serves them
    """

    database: GeoDatabase
    version: int
    shown: dict[tuple[int, int, int], Any]

    def upgrade(self) -> None:
        database = self.database
        db.init(database.admin, loader_url=database.loader, tiles_url=database.tiles)

    def versions(self) -> list[int]:
        found = self.database.rows("SELECT version FROM hdxjobs.schema_version ORDER BY version")
        return [version for (version,) in found]


def as_loader(database: GeoDatabase, *statements: str) -> None:
    connection = psycopg2.connect(database.loader, options="-c search_path=pg_catalog,public,pg_temp")
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def lay(database: GeoDatabase, layer: str, version: int) -> None:
    """A layer as a worker of that release makes it."""
    towns = ", ".join(
        f"({fid}, ST_Transform(ST_SetSRID(ST_MakePoint({lon}, {lat}), 4326), 3857), '{name}')"
        for fid, (lon, lat, name) in enumerate(makers.TOWNS, 1)
    )
    parts = (FEATURES, PREPARED) if version >= PREPARES else (FEATURES,)
    as_loader(database, *(part.format(layer=layer, towns=towns) for part in parts))


def shown(database: GeoDatabase, layer: str = LAYER) -> dict[tuple[int, int, int], Any]:
    """Ids and properties of the features in tiles."""
    found = {}
    for place in PLACES:
        ((content,),) = database.rows("SELECT hdxjobs.tile_v1(%s, 1, %s, %s, %s)", layer, *place)
        found[place] = [(feature["id"], feature["properties"]) for feature in decode(bytes(content))]
    return found


@contextmanager
def left_by(geo: GeoDatabase, version: int) -> Iterator[Old]:
    """A database of that release, with a layer; its roles are those of the run."""
    loader, reads = urlsplit(geo.loader).username, urlsplit(geo.tiles).username
    with new_database(f"geo_old_{uuid.uuid4().hex[:8]}", str(loader), str(reads)) as database:
        database.rows(
            f"CREATE EXTENSION postgis; CREATE SCHEMA hdxjobs AUTHORIZATION {loader};"
            f" CREATE SCHEMA hdxjobs_public AUTHORIZATION {loader}; SELECT 1"
        )
        as_loader(
            database,
            (SCHEMAS / f"{version}.sql").read_text(),
            f"INSERT INTO hdxjobs.schema_version (version) VALUES ({version})",
        )
        lay(database, LAYER, version)
        yield Old(database, version, shown(database))


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: f"schema {version}")
def upgraded(request: pytest.FixtureRequest, geo: GeoDatabase) -> Iterator[Old]:
    with left_by(geo, request.param) as old:
        old.upgrade()
        yield old


@pytest.fixture
def previous(geo: GeoDatabase) -> Iterator[Old]:
    """As the release before this one left it."""
    with left_by(geo, db.SCHEMA_VERSION - 1) as old:
        yield old


@pytest.fixture
def reads(upgraded: Old) -> Iterator[tiles.TileReader]:
    reader = tiles.TileReader(upgraded.database.tiles, 5)
    yield reader
    reader.close()


def test_each_version_before_this_one_is_tried() -> None:
    assert list(range(1, db.SCHEMA_VERSION)) == VERSIONS


def test_an_old_layer_shows_what_it_showed(upgraded: Old) -> None:
    names = {properties["name"] for _, properties in upgraded.shown[0, 0, 0]}
    assert names == {"Nairobi", "Thika", "Nakuru", "Region"}
    assert shown(upgraded.database) == upgraded.shown


def test_the_tiles_that_an_old_release_stored_are_the_ones_that_are_sent(
    upgraded: Old, reads: tiles.TileReader
) -> None:
    tile = reads.tile(LAYER, 1, 0, 0, 0)
    assert tile is not None
    if upgraded.version >= PREPARES:
        assert (tile.state, tile.dropped) == ("stored", 7)
    else:
        assert tile.state == "preview"


def test_the_schema_is_of_this_release(upgraded: Old) -> None:
    assert upgraded.versions() == [upgraded.version, db.SCHEMA_VERSION]
    assert probes.map_database(upgraded.database.loader).ok
    assert probes.tiles_role(upgraded.database.tiles).ok


def test_a_worker_of_the_old_release_goes_on_beside_the_new_schema(
    upgraded: Old, reads: tiles.TileReader
) -> None:
    lay(upgraded.database, LATE_LAYER, upgraded.version)
    assert shown(upgraded.database, LATE_LAYER) == upgraded.shown
    tile = reads.tile(LATE_LAYER, 1, 0, 0, 0)
    assert tile is not None
    assert tile.dropped == (7 if upgraded.version >= PREPARES else 0)


def test_files_are_imported_into_it(upgraded: Old, reads: tiles.TileReader, imported_into: Any) -> None:
    result = imported_into(upgraded.database, reads, makers.towns())
    assert len(result.tile()) == len(makers.TOWNS)


def test_an_old_layer_is_replaced_by_a_new_file(
    upgraded: Old, reads: tiles.TileReader, imported_into: Any
) -> None:
    imported_into(upgraded.database, reads, makers.towns(), resource_id=f"res-{LAYER}", generation=2)
    assert reads.layer(LAYER) is None


def test_two_who_upgrade_at_once_do_no_harm(previous: Old) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(previous.upgrade) for _ in range(4)]:
            done.result()
    assert previous.versions() == [previous.version, db.SCHEMA_VERSION]
    assert shown(previous.database) == previous.shown


def test_an_upgrade_that_fails_on_the_way_leaves_the_old_schema_at_work(previous: Old) -> None:
    # Near the end of the upgrade: a function cannot be replaced by one with another result.
    as_loader(
        previous.database,
        "DROP FUNCTION hdxjobs.renew_shares_v1(text [])",
        "CREATE FUNCTION hdxjobs.renew_shares_v1(text []) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'",
    )
    with pytest.raises(psycopg2.errors.InvalidFunctionDefinition):
        previous.upgrade()
    assert previous.versions() == [previous.version]
    assert "lists" not in columns(previous.database)
    assert shown(previous.database) == previous.shown


def columns(database: GeoDatabase) -> set[str]:
    """Of the registry of layers."""
    found = database.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'hdxjobs.layer'::regclass")
    return {name for (name,) in found}


def test_a_schema_of_a_newer_release_is_refused_and_left_alone(geo: GeoDatabase) -> None:
    newer = db.SCHEMA_VERSION + 1
    geo.rows("INSERT INTO hdxjobs.schema_version (version) VALUES (%s) RETURNING 1", newer)
    try:
        with pytest.raises(errors.NewerSchema, match=f"schema {newer}.*Install that release"):
            db.init(geo.admin, loader_url=geo.loader, tiles_url=geo.tiles)
        finding = probes.map_database(geo.loader)
    finally:
        geo.rows("DELETE FROM hdxjobs.schema_version WHERE version = %s RETURNING 1", newer)
    assert not finding.ok
    assert "newer release" in finding.detail
