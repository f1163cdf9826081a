"""What an administrator is told about the parts."""

from __future__ import annotations

import psycopg2
import pytest

from ckanext.hdxjobs.geopreview import check, probes


@pytest.fixture
def found():
    def run(**settings):
        wanted = {
            "sandbox": "auto",
            "reader": "pyogrio",
            "memory_bytes": 4 * 1024**3,
        }
        return {finding.part: finding for finding in check.run(check.Wanted(**(wanted | settings)))}

    return run


def test_the_reader_says_its_version(found):
    assert found()["reader"].detail.startswith("GDAL 3")


def test_each_wall_of_the_sandbox_is_told(found):
    assert {f"sandbox: {name}" for name in check.WALLS} <= set(found())


def test_walls_that_are_switched_off_are_told_as_such_and_no_fault(found):
    finding = found(sandbox="off")["sandbox: network"]
    assert finding.ok
    assert finding.detail.startswith("switched off")


def test_a_parser_that_cannot_start_is_a_fault(found):
    assert not found(memory_bytes=20 * 1024**2)["reader"].ok


# The map database, Redis and disks


def test_the_map_database_says_its_version(geo):
    finding = probes.map_database(geo.loader)
    assert finding.ok
    assert "PostGIS 3" in finding.detail


def test_a_database_that_is_away_is_a_fault_that_says_why():
    finding = probes.map_database("postgresql://x@127.0.0.1:1/x")
    assert not finding.ok
    assert "Connection refused (setting ckanext.hdxjobs.postgis.url)" in finding.detail


@pytest.mark.parametrize("url", ["postgresql://u:se%cret@127.0.0.1/db", "postgres//u:se%cret@127.0.0.1/db"])
def test_a_url_that_cannot_be_read_is_a_fault_and_tells_no_password(url):
    finding = probes.map_database(url)
    assert not finding.ok
    assert "cannot be read" in finding.detail
    assert "cret" not in finding.detail


def test_an_old_schema_is_a_fault_that_says_what_to_run(geo):
    geo.rows("UPDATE hdxjobs.schema_version SET version = version - 1 RETURNING 1")
    finding = probes.map_database(geo.loader)
    geo.rows("UPDATE hdxjobs.schema_version SET version = version + 1 RETURNING 1")
    assert not finding.ok
    assert "ckan hdxjobs init-db" in finding.detail


def _as_loader(geo, statement):
    connection = psycopg2.connect(geo.loader)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_a_database_that_takes_no_data_is_a_fault(geo):
    _as_loader(geo, "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on")
    finding = probes.map_database(geo.loader)
    _as_loader(geo, "SET TRANSACTION READ WRITE; ALTER ROLE CURRENT_USER RESET default_transaction_read_only")
    assert not finding.ok
    assert "read-only" in finding.detail


def test_a_tiles_role_that_makes_tiles_and_reads_nothing_is_in_order(geo):
    finding = probes.tiles_role(geo.tiles)
    assert finding.ok
    assert "read nothing else" in finding.detail


def test_a_tiles_role_that_reads_more_than_tiles_is_a_fault(geo):
    _as_loader(geo, "GRANT SELECT ON hdxjobs.layer TO PUBLIC")
    finding = probes.tiles_role(geo.tiles)
    _as_loader(geo, "REVOKE SELECT ON hdxjobs.layer FROM PUBLIC")
    assert not finding.ok
    assert "read more" in finding.detail


def test_web_requests_with_the_loaders_rights_are_told_and_no_fault(geo):
    finding = probes.tiles_role(geo.loader)
    assert finding.ok
    assert "loader's rights" in finding.detail


@pytest.mark.parametrize(
    ("address", "ok", "said"),
    [
        ("127.0.0.1", True, ""),
        ("::1", True, ""),
        ("10.1.2.3", True, "10.1.2.3"),
        ("8.8.8.8", False, "open to the world"),
        ("2001:4860:4860::8888", False, "open to the world"),
    ],
)
def test_a_redis_without_a_password_is_a_fault_where_the_world_reaches_it(address, ok, said):
    finding = probes.exposure(address)
    assert (finding.ok, said in finding.detail) == (ok, True)


def test_a_disk_without_room_is_a_fault_that_says_how_much_is_needed(tmp_path):
    folder = tmp_path / "not" / "there"
    finding = probes.disk("disk", folder, least_bytes=10**18)
    assert not finding.ok
    assert str(folder) in finding.detail


def test_a_disk_with_room_is_in_order(tmp_path):
    assert probes.disk("disk", tmp_path, least_bytes=1).ok
