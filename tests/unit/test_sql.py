"""The SQL files: every statement has a name and a user."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from ckanext.hdxjobs import geopreview
from ckanext.hdxjobs.geopreview import db

SOURCES = {path: path.read_text() for path in Path(geopreview.__file__).parent.glob("*.py")}


def test_every_named_query_is_used():
    text = "".join(SOURCES.values())
    assert [name for name in db.queries() if f'"{name}"' not in text] == []


def test_no_name_is_given_twice():
    assert db.sql_file("queries.sql").count("-- name: ") == len(db.queries())


@pytest.mark.parametrize("name", [path.name for path in (resources.files(geopreview) / "sql").iterdir()])
def test_every_sql_file_is_run(name):
    assert f'"{name}"' in SOURCES[Path(db.__file__)]


def test_no_statement_takes_all_columns_of_a_layer_into_a_tile():
    assert "hdx_geom, *" not in db.sql_file("tiles.sql")
