"""JSON as programs write it that GDAL alone would refuse."""

from __future__ import annotations

import json

import makers
import pytest
import samples

FEATURES = json.loads(makers.towns())["features"]
COLLECTION = {"type": "FeatureCollection", "features": FEATURES}


def assert_towns(result):
    assert {item["properties"]["name"] for item in result.tile()} == set(samples.NAMES)


def test_a_topojson_with_a_byte_order_mark_is_read(imported, tmp_path):
    assert_towns(imported(b"\xef\xbb\xbf" + samples.topojson(tmp_path)["towns.topojson"]))


def test_lines_whose_members_are_sorted_by_name_are_read(imported):
    lines = "\n".join(json.dumps(feature, sort_keys=True) for feature in FEATURES)
    assert_towns(imported(lines.encode()))


@pytest.mark.parametrize("size", [9_000, 90_000])
def test_a_type_behind_long_metadata_is_found(imported, size):
    document = {"metadata": "x" * size, **COLLECTION}
    assert_towns(imported(json.dumps(document).encode()))


def test_a_topojson_whose_type_comes_last_is_read(imported, tmp_path):
    document = json.loads(samples.topojson(tmp_path)["towns.topojson"])
    document["arcs"] = [[[0, 0], [1, 1]]] * 10_000
    assert_towns(imported(json.dumps({**document, "type": document.pop("type")}, sort_keys=True).encode()))


def test_a_mapinfo_file_without_charset_is_read(imported, tmp_path):
    parts = samples.mapinfo_mif(tmp_path)
    parts["towns.mif"] = parts["towns.mif"].replace(b'Charset "Neutral"\n', b"")
    assert b"Charset" not in parts["towns.mif"]
    assert_towns(imported(makers.zipped(parts)))
