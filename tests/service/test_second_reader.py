"""A reader that breaks on a file gives way to another one, once."""

from __future__ import annotations

import shutil
import sys

import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import reader
from ckanext.hdxjobs.geopreview.formats import FORMATS

needs_ogr2ogr = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="gdal-bin is not installed")

LIMITS = reader.Limits(timeout_s=30, memory_bytes=4 * 1024**3)

#: Stands in the parser's place: notes each start, breaks where the condition says so, else is the parser.
SHIM = """
import json, os, signal, sys
if any("launcher" in each for each in sys.argv):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
line = sys.stdin.buffer.readline()
setup = json.loads(line)
open({starts!r}, "a").write(setup["driver"] + "\\n")
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
class Again:
    def __init__(self, rest):
        self.rest, self.first = rest, line
    def readline(self):
        first, self.first = self.first, b""
        return first or self.rest.readline()
    def __iter__(self):
        for request in self.rest:
            if {at_request!r} in request.decode() and ({condition}):
                crash()
            yield request
class Stdin:
    buffer = Again(sys.stdin.buffer)
if not {at_request!r} and ({condition}):
    crash()
sys.stdin = Stdin()
from ckanext.hdxjobs.geopreview import parser
parser.main()
"""


@pytest.fixture
def breaks(tmp_path, monkeypatch):
    """Parsers that break when a condition on their ``setup`` holds; how they were started."""
    starts = tmp_path / "starts"
    starts.touch()

    def install(condition, at_request=""):
        shim = tmp_path / "shim.py"
        shim.write_text(
            SHIM.format(python=sys.executable, starts=str(starts), condition=condition, at_request=at_request)
        )
        launcher = tmp_path / "python"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{shim}" "$@"\n')
        launcher.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(launcher))

    install.starts = lambda: starts.read_text().split()
    return install


@pytest.fixture
def towns(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir(mode=0o700)
    path = folder / "layer.geojson"
    path.write_bytes(makers.towns())
    return path


@pytest.fixture
def towns_kml(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir(mode=0o700)
    path = folder / "layer.kml"
    path.write_bytes(makers.kml(("Towns", makers.town_placemarks())))
    return path


def names(readers, path, format_name, key):
    """The values of a field, described and streamed."""
    (layer,) = readers.inspect(path, format_=FORMATS[format_name])
    place = [field["name"] for field in layer["fields"]["kept"]].index(key)
    with readers.stream(path, format_=FORMATS[format_name], layer=layer["name"], encoding="UTF-8") as stream:
        return [row[f"c{place + 1}"] for batch in stream.batches for row in batch.to_pylist()]


def test_a_format_with_two_drivers_is_read_by_the_other_one(towns_kml, breaks):
    breaks('setup["driver"] == "LIBKML"')
    with reader.Readers(LIMITS) as readers:
        assert names(readers, towns_kml, "KML", "Name") == ["Nairobi", "Thika", "Nakuru"]
    assert breaks.starts() == ["LIBKML", "KML"]


@needs_ogr2ogr
def test_a_format_with_one_driver_is_read_by_the_systems_gdal(towns, breaks):
    breaks('not setup["is_copy"]')
    with reader.Readers(LIMITS) as readers:
        assert names(readers, towns, "GeoJSON", "name") == ["Nairobi", "Thika", "Nakuru"]
    assert breaks.starts() == ["GeoJSON", "GPKG"]


def test_a_file_that_breaks_both_is_given_up_after_two(towns_kml, breaks):
    breaks("True")
    with reader.Readers(LIMITS) as readers, pytest.raises(errors.DetectError) as caught:
        names(readers, towns_kml, "KML", "Name")
    assert caught.value.code == "reader-crashed"
    assert breaks.starts() == ["LIBKML", "KML"]


@needs_ogr2ogr
def test_a_site_may_prefer_its_own_gdal(towns, breaks):
    breaks("False")
    with reader.Readers(LIMITS, preferred="ogr2ogr") as readers:
        assert names(readers, towns, "GeoJSON", "name") == ["Nairobi", "Thika", "Nakuru"]
    assert breaks.starts() == ["GPKG"]


def test_a_reader_that_breaks_in_the_middle_makes_way_for_another_one_once(towns_kml, breaks):
    breaks('setup["driver"] == "LIBKML"', at_request="stream")
    with reader.Readers(LIMITS) as readers:
        with pytest.raises(errors.DetectError):
            names(readers, towns_kml, "KML", "Name")
        assert readers.turn()
        assert names(readers, towns_kml, "KML", "Name") == ["Nairobi", "Thika", "Nakuru"]
        assert not readers.turn()


def test_a_damaged_file_is_not_tried_again(towns, breaks):
    breaks("False")
    towns.write_bytes(makers.towns()[:-10])
    with reader.Readers(LIMITS) as readers, pytest.raises(errors.DetectError) as caught:
        names(readers, towns, "GeoJSON", "name")
    assert caught.value.code == "unreadable"
    assert breaks.starts() == ["GeoJSON"]
