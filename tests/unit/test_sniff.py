"""What a file is, by its first bytes."""

from __future__ import annotations

import makers
import pytest

from ckanext.hdxjobs.geopreview.sniff import missing_bytes, sniff

COLLECTION = makers.towns()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (COLLECTION, "GeoJSON"),
        (b"\xef\xbb\xbf" + COLLECTION, "GeoJSON"),
        (b"  \n\t" + COLLECTION, "GeoJSON"),
        (COLLECTION.decode().encode("utf-16"), "GeoJSON"),
        (COLLECTION[:40], "GeoJSON"),
        (
            b'{"features":[{"type":"Feature","geometry":null}],"x":"'
            + b"y" * 200_000
            + b'","type":"FeatureCollection"}',
            "GeoJSON",
        ),
        (b'{"type" : "Point", "coordinates": [1, 2]}', "GeoJSON"),
        (b'{"type":"Topology"}', None),
        (b'{"a": 1}', None),
        (b"[]", None),
        (makers.kml(), "KML"),
        (b"\xef\xbb\xbf" + makers.kml(), "KML"),
        (makers.kml().decode().encode("utf-16"), "KML"),
        (b"<!-- hi --><?x?>\n<kml>", "KML"),
        (b"<kml:kml xmlns:kml='x'>", "KML"),
        (b"<!DOCTYPE kml [<!ENTITY a 'b'>]><kml>", "KML"),
        (b"<html><kml></kml></html>", None),
        (b"<kmlish>", None),
        (b"<OGRVRTDataSource>", None),
        (b"<", None),
        (b"PK\x03\x04rest", "zip"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"\x00\x00\x27\x0a" + bytes(96), "Shapefile"),
        (b"%PDF-1.7", None),
        (b"a,b\n1,2", None),
        (b"\x1f\x8b\x08", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"<!--" * 20_000, None),
        (b" " * 100_000, None),
    ],
)
def test_the_first_bytes_tell_the_kind(tmp_path, content, expected):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert sniff(path) == expected


@pytest.mark.parametrize(
    ("suffix", "cut"), [(".shp", 10), (".shx", 1), (".dbf", 30), (".shp", 200), (".dbf", 400)]
)
def test_a_cut_off_part_of_a_shapefile_is_noticed(tmp_path, suffix, cut):
    (tmp_path / "cut").mkdir()
    content = makers.shapefile(tmp_path)["towns" + suffix]
    path = tmp_path / "cut" / ("x" + suffix)
    path.write_bytes(content)
    assert missing_bytes(path) == 0
    path.write_bytes(content[: max(0, len(content) - cut)])
    assert missing_bytes(path) > 0
