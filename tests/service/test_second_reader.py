"""A reader that breaks gives way to another one, once; the worker lives, and nothing stays behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import broken
import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import reader
from ckanext.hdxjobs.geopreview.formats import FORMATS

needs_ogr2ogr = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="gdal-bin is not installed")

LIMITS = reader.Limits(timeout_s=60, memory_bytes=4 * 1024**3)

CONTENTS = {
    "GeoJSON": makers.towns(),
    "KML": makers.kml(("Towns", makers.town_placemarks())),
}


@pytest.fixture
def path(tmp_path):
    """A file in a job's folder."""

    def make(format_name, content=None):
        folder = tmp_path / "job"
        folder.mkdir(mode=0o700)
        found = folder / f"layer{FORMATS[format_name].suffix}"
        found.write_bytes(content or CONTENTS[format_name])
        return found

    return make


def read(path, format_name, *, preferred="pyogrio"):
    """All features of a file's first layer, on whatever way they come."""
    format_ = FORMATS[format_name]
    with reader.Readers(LIMITS, preferred=preferred) as readers:
        layer, *_ = readers.inspect(path, format_=format_)
        with readers.stream(path, format_=format_, layer=layer["name"], encoding="UTF-8") as stream:
            return [row for batch in stream.batches for row in batch.to_pylist()]


def children():
    """Processes whose parent we are, zombies too."""
    mine = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            mine.append(stat.parent.name)
    return mine


@needs_ogr2ogr
@pytest.mark.parametrize("how", broken.BREAKS)
def test_a_reader_that_breaks_gives_way_to_the_systems(path, tmp_path, monkeypatch, how):
    tried = broken.install(tmp_path, monkeypatch, how, drivers=("GeoJSON",))
    assert len(read(path("GeoJSON"), "GeoJSON")) == 3
    assert tried.read_text().split() == ["parser", "launcher", "parser"]


@pytest.mark.parametrize("how", broken.BREAKS)
def test_a_driver_that_breaks_gives_way_to_the_formats_other_one(path, tmp_path, monkeypatch, how):
    tried = broken.install(tmp_path, monkeypatch, how, drivers=("LIBKML",))
    assert len(read(path("KML"), "KML")) == 3
    assert tried.read_text().split() == ["parser", "parser"]


def test_a_kml_whose_attributes_the_other_driver_leaves_out_says_so(detected, tmp_path, monkeypatch):
    broken.install(tmp_path, monkeypatch, "an abort", drivers=("LIBKML",))
    ((layer,), _) = detected(CONTENTS["KML"], name="towns.kml")
    assert "attributes-left-out" in [notice.code for notice in layer.notices]


def test_a_kml_that_the_usual_driver_reads_has_all_its_attributes(detected):
    ((layer,), _) = detected(CONTENTS["KML"], name="towns.kml")
    assert "attributes-left-out" not in [notice.code for notice in layer.notices]


@pytest.mark.parametrize("how", broken.BREAKS)
def test_nobody_is_asked_a_third_time(path, tmp_path, monkeypatch, how):
    tried = broken.install(tmp_path, monkeypatch, how, drivers=("LIBKML", "KML"))
    with pytest.raises(errors.DetectError) as caught:
        read(path("KML"), "KML")
    assert caught.value.code == broken.CODES.get(how, "reader-crashed")
    assert tried.read_text().split() == ["parser", "parser"]


@needs_ogr2ogr
@pytest.mark.parametrize("how", ["a segmentation fault", "an abort", "no processor time left"])
def test_the_systems_reader_may_break_too(path, tmp_path, monkeypatch, how):
    tried = broken.install(tmp_path, monkeypatch, how, drivers=("GeoJSON",), modules=("parser", "launcher"))
    with pytest.raises(errors.DetectError) as caught:
        read(path("GeoJSON"), "GeoJSON")
    assert caught.value.code == broken.CODES.get(how, "reader-crashed")
    assert tried.read_text().split() == ["parser", "launcher"]


@needs_ogr2ogr
def test_where_the_systems_reader_is_preferred_ours_is_the_second(path, tmp_path, monkeypatch):
    tried = broken.install(tmp_path, monkeypatch, "a segmentation fault", drivers=(), modules=("launcher",))
    assert len(read(path("KML"), "KML", preferred="ogr2ogr")) == 3
    assert tried.read_text().split() == ["launcher", "parser"]


def test_without_the_systems_reader_a_crash_is_a_crash(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    reader.translate.drivers.cache_clear()
    tried = broken.install(tmp_path, monkeypatch, "an abort", drivers=("GeoJSON",))
    with pytest.raises(errors.DetectError) as caught:
        read(path("GeoJSON"), "GeoJSON")
    reader.translate.drivers.cache_clear()
    assert caught.value.code == "reader-crashed"
    assert tried.read_text().split() == ["parser"]


@pytest.mark.parametrize("how", broken.BREAKS)
def test_nothing_stays_behind(path, tmp_path, monkeypatch, how):
    broken.install(tmp_path, monkeypatch, how, drivers=("LIBKML",))
    found, before = path("KML"), children()
    read(found, "KML")
    assert set(children()) <= set(before)
    assert {one.name: one.stat().st_size <= 1024**2 for one in found.parent.iterdir()} in (
        {"layer.kml": True},
        {"layer.kml": True, "big": True},
    )


def test_a_file_that_is_damaged_is_not_tried_again(path, tmp_path, monkeypatch):
    tried = broken.install(tmp_path, monkeypatch, "an abort", drivers=())
    with pytest.raises(errors.DetectError) as caught:
        read(path("KML", CONTENTS["KML"][:200]), "KML")
    assert caught.value.code == "unreadable"
    assert tried.read_text().split() == ["parser"]


def assert_breaks_off(readers, found):
    with (
        pytest.raises(errors.DetectError),
        readers.stream(found, format_=FORMATS["KML"], layer="Towns", encoding="UTF-8") as stream,
    ):
        list(stream.batches)


def test_after_a_break_amid_the_features_the_other_reader_is_the_only_one(path, tmp_path, monkeypatch):
    tried = broken.install(tmp_path, monkeypatch, "an abort", drivers=(), amid=("LIBKML",))
    found, format_ = path("KML"), FORMATS["KML"]
    with reader.Readers(LIMITS) as readers:
        readers.inspect(found, format_=format_)
        assert_breaks_off(readers, found)
        assert readers.turn()
        readers.inspect(found, format_=format_)
        with readers.stream(found, format_=format_, layer="Towns", encoding="UTF-8") as stream:
            assert sum(len(batch) for batch in stream.batches) == 3
        assert not readers.turn()
    assert tried.read_text().split() == ["parser", "parser"]


def test_there_is_no_turn_after_the_second_reader_broke_too(path, tmp_path, monkeypatch):
    broken.install(tmp_path, monkeypatch, "an abort", drivers=("LIBKML",), amid=("KML",))
    found, format_ = path("KML"), FORMATS["KML"]
    with reader.Readers(LIMITS) as readers:
        readers.inspect(found, format_=format_)
        assert_breaks_off(readers, found)
        assert not readers.turn()


def test_there_is_no_turn_without_a_break(path):
    found, format_ = path("KML"), FORMATS["KML"]
    with reader.Readers(LIMITS) as readers:
        readers.inspect(found, format_=format_)
        assert not readers.turn()
