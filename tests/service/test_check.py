"""What an administrator is told about the parts."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview import check


@pytest.fixture
def found(geo):
    def run(**settings):
        wanted = {
            "loader_url": geo.loader,
            "sandbox": "auto",
            "reader": "pyogrio",
            "memory_bytes": 4 * 1024**3,
        }
        return {finding.part: finding for finding in check.run(check.Wanted(**(wanted | settings)))}

    return run


def test_a_part_that_is_in_order_says_its_version(found):
    findings = found()
    assert findings["map database"].ok
    assert "PostGIS 3" in findings["map database"].detail
    assert findings["reader"].detail.startswith("GDAL 3")


def test_each_wall_of_the_sandbox_is_told(found):
    assert {f"sandbox: {name}" for name in check.WALLS} <= set(found())


def test_walls_that_are_switched_off_are_told_as_such_and_no_fault(found):
    finding = found(sandbox="off")["sandbox: network"]
    assert finding.ok
    assert finding.detail.startswith("switched off")


def test_a_database_that_is_away_is_a_fault(found):
    finding = found(loader_url="postgresql://x@127.0.0.1:1/x")["map database"]
    assert not finding.ok


def test_a_parser_that_cannot_start_is_a_fault(found):
    assert not found(memory_bytes=20 * 1024**2)["reader"].ok


def test_an_old_schema_is_a_fault_that_says_what_to_run(geo, found):
    geo.rows("INSERT INTO hdxjobs.schema_version (version) VALUES (999) RETURNING 1")
    finding = found()["map database"]
    geo.rows("DELETE FROM hdxjobs.schema_version WHERE version = 999 RETURNING 1")
    assert not finding.ok
    assert "ckan hdxjobs init-db" in finding.detail
