"""Files that are told by name but not read."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.foreign import foreign_document, foreign_kind, is_kmz, is_workbook


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"%PDF-1.7", "PDF"),
        (b"Rar!\x1a\x07\x01", "RAR"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"roads.shp".ljust(257, b"\0") + b"ustar\0", "tar"),
        (b"BZh91AY", "bzip2"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls"),
        (b"\0\x01\0\0Standard Jet DB\0", "Access"),
        (b"SQLite format 3\0".ljust(68, b"\0") + b"MPBX", "MBTiles"),
        (b"SQLite format 3\0".ljust(500, b"\0") + b"CREATE TABLE tiles (zoom_level", "MBTiles"),
        (b"SQLite format 3\0".ljust(500, b"\0"), "SQLite"),
        (b"PAR1\x15", "Parquet"),
        (b"\x89HDF\r\n", "NetCDF"),
        (b"CDF\x01", "NetCDF"),
        (b"\0\0\0\x0d\x0a\x09OSMHeader", "OpenStreetMap"),
        (b"<?xml version='1.0'?>\n<osm version='0.6'>", "OpenStreetMap"),
        (b"<WFS_Capabilities version='1'>", "map service"),
        (b"<?xml version='1.0'?><ows:ExceptionReport >", "error message"),
        (b"<OGRVRTDataSource>", "refers to other files"),
        (b'{"displayFieldName":"", "geometryType":"esriGeometryPoint"}', "ESRI JSON"),
        (b"  0\nSECTION\n  2\nHEADER\n", "CAD"),
    ],
)
def test_a_known_kind_is_told_in_words(head, part):
    assert part in (foreign_kind(head) or "")


@pytest.mark.parametrize("head", [b"", b"hello", b'{"a": 1}', bytes(400), b"<roads></roads>"])
def test_what_is_not_known_has_no_words(head):
    assert foreign_kind(head) is None


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ({"[Content_Types].xml", "word/document.xml"}, "Word"),
        ({"mimetype", "content.xml"}, "OpenDocument"),
        ({"META-INF/MANIFEST.MF", "A.class"}, "program"),
        ({"[Content_Types].xml", "x"}, "another program"),
    ],
)
def test_a_zip_that_is_a_document_is_told_in_words(names, part):
    assert part in (foreign_document(names) or "")


def test_a_zip_of_files_is_no_document():
    assert foreign_document({"a.shp", "word/document.xml"}) is None


def test_workbooks_and_kmz_files_are_told_by_their_entries():
    assert is_workbook({"[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"})
    assert not is_workbook({"xl/workbook.xml"})
    assert is_kmz({"doc.kml", "files/icon.png"})
    assert not is_kmz({"maps/a.kml", "roads.shp"})
