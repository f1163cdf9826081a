"""What a file is, by its first bytes."""

from __future__ import annotations

import json

import makers
import pytest

from ckanext.hdxjobs.geopreview.sniff import GZIP, PAGE, ZIP, late_type, sniff

COLLECTION = makers.towns()
FEATURE = b'{"type":"Feature","properties":{"a":"}"},"geometry":{"type":"Point","coordinates":[1,2]}}'
LONG_FEATURE = FEATURE.replace(b"[1,2]", b"[" + b"1," * 1_200_000 + b"2]")


def sqlite(application_id):
    return b"SQLite format 3\0".ljust(68, b"\0") + application_id + bytes(500)


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
        (b'{"type":"Topology"}', "TopoJSON"),
        (b'{"a": 1}', None),
        (b"[]", None),
        (json.dumps(json.loads(COLLECTION)).encode("utf-16-le"), "GeoJSON"),
        (COLLECTION.decode().encode("utf-32"), "GeoJSON"),
        (COLLECTION.decode().encode("utf-32-be"), "GeoJSON"),
        (b"loadGeoJSON(" + COLLECTION + b")", "GeoJSON"),
        (b'{"geometry": {"type": "Point", "coordinates": [1, 2]}, "type": "Feature"}', "GeoJSON"),
        (b'{"type": "Nothing", "features": []}', None),
        (b'{"error": {"type": "Feature"}}', None),
        (b'{"data": {"type": "FeatureCollection"}}', None),
        (b'{"\\"' + b'\\"' * 50_000, None),
        (FEATURE + b"\n" + FEATURE, "GeoJSONSeq"),
        (FEATURE + b"\r\n\r\n" + FEATURE + b"\r\n", "GeoJSONSeq"),
        (b"\xef\xbb\xbf" + FEATURE + b"\n" + FEATURE, "GeoJSONSeq"),
        (b"\x1e" + FEATURE + b"\n", "GeoJSONSeq"),
        (b'{"type":"Point","coordinates":[1,2]}\n{"type":"Point","coordinates":[3,4]}', "GeoJSONSeq"),
        (LONG_FEATURE + b"\n" + FEATURE, "GeoJSONSeq"),
        (LONG_FEATURE + b"\n", "GeoJSON"),
        (
            b'{"type":"GeometryCollection","x":"' + b"y" * 70_000 + b'","geometries":[\n{"type":"Point"}]}',
            "GeoJSON",
        ),
        (LONG_FEATURE, "GeoJSON"),
        (FEATURE + b"\n", "GeoJSON"),
        (json.dumps(json.loads(FEATURE), indent=1).encode(), "GeoJSON"),
        (b'{"a":1}\n{"a":2}', None),
        (b'{"arcs":[' + b"[1,2]," * 20_000 + b'[1,2]],"type":"Topology"}', "TopoJSON"),
        (
            b'{"features":[{"geometry":{"x":1,"y":2},"attributes":{}}],"geometryType":"esriGeometryPoint"}',
            None,
        ),
        (
            ",".join(f"#adm+some+attribute+of+people+number_{n:05}" for n in range(2000)).encode() + b"\n",
            "CSV",
        ),
        (b'Version 300\r\nDelimiter ","\r\nColumns 1\r\n', "MapInfo"),
        (b'!table\n!version 300\n\nDefinition Table\n  File "a.tif"\n  Type "RASTER"\n', None),
        (makers.kml(), "KML"),
        (b"\xef\xbb\xbf" + makers.kml(), "KML"),
        (makers.kml().decode().encode("utf-16"), "KML"),
        (b"<!-- hi --><?x?>\n<kml>", "KML"),
        (b"<kml:kml xmlns:kml='x'>", "KML"),
        (b"<!DOCTYPE kml [<!ENTITY a 'b'>]><kml>", "KML"),
        (b"<html><kml></kml></html>", PAGE),
        (b"<kmlish>", None),
        (b"<OGRVRTDataSource>", None),
        (b"<", None),
        (b"PK\x03\x04rest", ZIP),
        (b"PK\x05\x06" + bytes(18), ZIP),
        (b"\x00\x00\x27\x0a" + bytes(96), "Shapefile"),
        (b"<gpx version='1.1'>", "GPX"),
        (b'<?xml version="1.0"?>\n<gpx>', "GPX"),
        (b'<wfs:FeatureCollection xmlns:wfs="x" xmlns:gml="http://www.opengis.net/gml">', "GML"),
        (b"<my:Roads xmlns:my='x' xmlns:gml='http://www.opengis.net/gml/3.2'>", "GML"),
        (b'<roads>\n<road><gml:pos xmlns:gml="http://www.opengis.net/gml">1 2</gml:pos>', "GML"),
        (b'<xs:schema xmlns:gml="http://www.opengis.net/gml">', None),
        (b'<wfs:WFS_Capabilities xmlns:gml="http://www.opengis.net/gml">', None),
        (b"<!DOCTYPE html><html>", PAGE),
        (b"\n<!-- x -->\n<!doctype HTML PUBLIC '-//W3C//DTD'>", PAGE),
        (b'<html xmlns="http://www.w3.org/1999/xhtml">', PAGE),
        (b"<HTML>", PAGE),
        (b'<?xml version="1.0"?><!DOCTYPE html><html>', PAGE),
        (sqlite(b"GPKG"), "GeoPackage"),
        (sqlite(b"GP10"), "GeoPackage"),
        (sqlite(b"\0\0\0\0") + b"CREATE TABLE gpkg_contents (", "GeoPackage"),
        (sqlite(b"\0\0\0\0"), None),
        (sqlite(b"MPBX"), None),
        (b"fgb\x03fgb\x01", "FlatGeobuf"),
        (b"!table\n!version 300\n!charset WindowsLatin1\n", "MapInfo"),
        (b"!Table\r\n", "MapInfo"),
        (b'Version   300\r\nCharset "WindowsLatin1"\r\n', "MapInfo"),
        (b"Version 2 of this text", None),
        (b"%PDF-1.7", None),
        (b"a,b\n1,2", "CSV"),
        (b"\x1f\x8b\x08", GZIP),
        (b"name;lat;lon\nNairobi;-1,29;36,82\n", "CSV"),
        (b"name\tlat\tlon\nNairobi\t-1.29\t36.82\n", "TSV"),
        (b"\xef\xbb\xbfname,lat\r\n", "CSV"),
        ("name\tlat\nNairobi\t-1\n".encode("utf-16"), "TSV"),
        ("имя,lat\nМосква,55\n".encode("cp1251"), "CSV"),
        (b"", None),
        (b"\xff\xfe", None),
        (b"<!--" * 20_000, None),
        (b" " * 100_000, None),
        (b"!table\n" + b"\n \t" * 30_000, "MapInfo"),
        (b"!table\n" + b"Type" + b" " * 60_000, "MapInfo"),
        (b"-" * 100_000 + b"a,b\n" + b"-" * 100_000 + b"a,b\n", None),
        (b'"features":' * 20_000, None),
        (b"a " * 90_000 + b",b\n", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_first_bytes_tell_the_kind(tmp_path, content, expected):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert sniff(path) == expected


@pytest.mark.parametrize(
    ("content", "is_sequence", "expected"),
    [
        (COLLECTION, False, None),
        (b'{"features":[{"type":"Feature"' + b" " * 9000 + b'}],"type":"FeatureCollection"}', False, None),
        (b'{"metadata":"' + b"x" * 9000 + b'","type":"FeatureCollection"}', False, "FeatureCollection"),
        (b'{"metadata":"' + b"x" * 90_000 + b'","type":"FeatureCollection"}', False, "FeatureCollection"),
        (b'{"arcs":[' + b"[1,2]," * 20_000 + b'[1,2]],"type":"Topology"}', False, "Topology"),
        (FEATURE + b"\n" + FEATURE, True, None),
        (b"\x1e" + FEATURE, True, None),
        (b'{"geometry":null,"properties":{},"type":"Feature"}\n' * 2, True, "Feature"),
    ],
)
def test_a_type_that_gdal_would_not_see_is_found(tmp_path, content, is_sequence, expected):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert late_type(path, is_sequence=is_sequence) == expected
