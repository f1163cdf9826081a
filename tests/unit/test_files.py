"""The map page's own files."""

from __future__ import annotations

import gzip

import pytest

from ckanext.hdxjobs import files


def test_a_file_is_ready_packed_and_unpacked() -> None:
    file = files.find("hdxjobs-map.js")

    assert file is not None
    assert gzip.decompress(file.packed) == file.body


@pytest.mark.parametrize("name", ["map.js", "land/world.json", f"{files.MAPLIBRE_FOLDER}/maplibre-gl.css"])
def test_a_file_of_the_page_is_found(name: str) -> None:
    assert files.find(name) is not None


@pytest.mark.parametrize(
    "name",
    ["", "nothing.js", "../../plugin.py", "../hdxjobs/../../config_declaration.yaml", "/etc/passwd", "land"],
)
def test_nothing_else_is_found(name: str) -> None:
    assert files.find(name) is None


def test_the_vendored_library_brings_its_licence() -> None:
    file = files.find(f"{files.MAPLIBRE_FOLDER}/LICENSE.txt")

    assert file is not None
    assert b"MapLibre contributors" in file.body


def test_one_version_of_the_library_is_vendored() -> None:
    assert [folder.name for folder in files.FOLDER.glob("maplibre-gl-*")] == [files.MAPLIBRE_FOLDER]
