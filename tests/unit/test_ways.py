"""Which reader is asked, and which one when it breaks."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.remedies import Way, ways

ALL = frozenset({"GeoJSON", "KML", "LIBKML", "GPKG", "GML"})


@pytest.mark.parametrize(
    ("format_name", "preferred", "expected"),
    [
        ("GML", "pyogrio", [Way("pyogrio", "GML"), Way("ogr2ogr", "GML")]),
        ("GML", "ogr2ogr", [Way("ogr2ogr", "GML"), Way("pyogrio", "GML")]),
        ("KML", "pyogrio", [Way("pyogrio", "LIBKML"), Way("pyogrio", "KML")]),
        ("KML", "ogr2ogr", [Way("ogr2ogr", "LIBKML"), Way("pyogrio", "LIBKML")]),
        ("GeoPackage", "pyogrio", [Way("pyogrio", "GPKG")]),
        ("GeoPackage", "ogr2ogr", [Way("pyogrio", "GPKG")]),
    ],
)
def test_a_file_is_tried_by_two_readers_at_most(format_name, preferred, expected):
    assert list(ways(FORMATS[format_name], preferred=preferred, installed=lambda: ALL)) == expected


def test_without_ogr2ogr_there_is_no_second_try_with_it():
    assert list(ways(FORMATS["GML"], preferred="ogr2ogr", installed=frozenset)) == [Way("pyogrio", "GML")]
