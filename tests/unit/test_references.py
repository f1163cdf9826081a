"""References out of a file are made harmless, and plain files stay as they are."""

from __future__ import annotations

import json
import sqlite3

import pytest

from ckanext.hdxjobs.geopreview import references


@pytest.mark.parametrize(
    "name",
    [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:EPSG::3857",
        "EPSG:4326",
        "urn:x-ogc:def:crs:EPSG:4326",
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_plain_name_of_a_crs_stays(tmp_path, name, indent):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"crs": {"type": "name", "properties": {"name": name}}}, indent=indent))
    before = path.read_bytes()
    assert references.defuse_crs(path) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "link", "properties": {"href": "http://127.0.0.1/crs"}},
        {"type": "name", "properties": {"name": "+init=/etc/passwd:1"}},
        {"type": "name", "properties": {"name": "+proj=longlat +nadgrids=/etc/passwd"}},
        {"type": "name", "properties": {"name": "http://127.0.0.1/crs"}},
        {"type": "EPSG", "properties": {"code": 4326}},
    ],
)
@pytest.mark.parametrize("key", ["crs", "\\u0063rs", "c\\u0072s", "cr\\u0073"])
def test_any_other_crs_is_renamed(tmp_path, crs, key):
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"{key}": {json.dumps(crs)}, "features": []}}')
    assert references.defuse_crs(path) == 1
    assert "crs" not in json.loads(path.read_text())


def database(path, statement):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def test_an_index_of_sqlites_own_is_no_foreign_table(tmp_path):
    path = database(tmp_path / "a.gpkg", "CREATE VIRTUAL TABLE r USING rtree(id, a, b, c, d)")
    assert references.foreign_table(path) is None


def test_a_virtual_table_of_another_kind_is_one(tmp_path):
    path = database(tmp_path / "a.gpkg", "CREATE VIRTUAL TABLE r USING rtree(id, a, b, c, d)")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute(
        "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql)"
        " VALUES ('table', 'spy', 'spy', 0, 'CREATE VIRTUAL TABLE spy USING VirtualText(''/etc/passwd'')')"
    )
    connection.commit()
    connection.close()
    assert references.foreign_table(path) == "spy"


def test_what_is_no_database_has_no_foreign_table(tmp_path):
    path = tmp_path / "a.gpkg"
    path.write_bytes(b"no database")
    assert references.foreign_table(path) is None
