"""What a download holds: files of every kind, packed in every way, some of them hostile."""

from __future__ import annotations

import gzip
import zlib

import makers
import pytest

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview.archive import contents
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Download

KML = makers.kml(("a", makers.town_placemarks()))
WORKBOOK = makers.zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"})
TABLE = b"name,latitude,longitude\nNairobi,-1.3,36.8\n"
INDEX = b"\x00\x00\x27\x0a" + bytes(96)
GDB = {f"a0000000{number}.gdbtabl{end}": b"x" for number in (1, 2) for end in "ex"}


def held(tmp_path, content, *, name="file", max_unpacked_bytes=10**8, formats=frozenset(FORMATS)):
    path = tmp_path / "download"
    path.write_bytes(content)
    return contents(
        Download("r", 1, path, name, "", len(content), ""),
        folder=tmp_path,
        max_unpacked_bytes=max_unpacked_bytes,
        formats=formats,
    )


def found(tmp_path, content, **kw):
    return [(candidate.name, candidate.format) for candidate in held(tmp_path, content, **kw).candidates]


def failure_of(tmp_path, content, **kw):
    with pytest.raises(DetectError) as caught:
        held(tmp_path, content, **kw)
    return caught.value


def unpacked_bytes(tmp_path):
    return sum(path.stat().st_size for path in tmp_path.glob("unpacked-*/*"))


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (KML, "a.kml", [("a.kml", "KML")]),
        (gzip.compress(KML), "a.kml.gz", [("a.kml", "KML")]),
        (gzip.compress(KML), "a", [("a", "KML")]),
        (gzip.compress(KML[:90]) + gzip.compress(KML[90:]) + bytes(50), "a.KML.GZ", [("a.KML", "KML")]),
        (WORKBOOK, "a.xlsx", [("a.xlsx", "XLSX")]),
        (gzip.compress(WORKBOOK), "a.xlsx.gz", [("a.xlsx", "XLSX")]),
        (makers.zipped({"b/a.xlsx": WORKBOOK}), "", [("b/a.xlsx", "XLSX")]),
        (makers.zipped({"a.kmz": makers.zipped({"doc.kml": KML})}), "", [("a.kmz/doc.kml", "KML")]),
        (makers.zipped({"b.kml": KML, "doc.kml": KML}), "", [("doc.kml", "KML"), ("b.kml", "KML")]),
        (makers.zipped({"a.csv.gz": gzip.compress(TABLE)}), "", [("a.csv", "CSV")]),
        (makers.zipped({"a.txt": TABLE}), "", [("a.txt", "CSV")]),
        (makers.zipped({"a.txt": TABLE, "b.kml": KML}), "", [("b.kml", "KML")]),
        (makers.zipped({"x.gdb/" + name: raw for name, raw in GDB.items()}), "", [("x.gdb", "FileGDB")]),
        (makers.zipped({"X.GDB/" + name.upper(): raw for name, raw in GDB.items()}), "", [("X.GDB", "FileGDB")]),
        (makers.zipped({"A.SHP": INDEX, "A.SHX": INDEX, "a.sbn": INDEX}), "", [("A.SHP", "Shapefile")]),
        (makers.zipped({"a.MIF": b"Version 300\nCharset x\n", "A.mid": TABLE}), "", [("a.MIF", "MapInfo")]),
    ],
)  # fmt: skip
def test_files_are_found_in_each_packaging(tmp_path, content, name, expected):
    assert found(tmp_path, content, name=name) == expected


def test_two_geodatabases_in_a_zip_are_two(tmp_path):
    files = {f"{folder}/{name}": raw for folder in ("a.gdb", "b.gdb") for name, raw in GDB.items()}
    files |= {"a.gdb/readme.txt": TABLE, "a.gdb/a00000001.gdbindexes": b"x", "a.gdb/a00000009.spx": b"x"}
    first, second = held(tmp_path, makers.zipped(files)).candidates
    assert (first.name, second.name) == ("a.gdb", "b.gdb")
    assert sorted(first.parts) == sorted(second.parts) == sorted(GDB)


def test_parts_are_found_in_any_letter_case_and_the_nearest_spelling_first(tmp_path):
    files = {"a/Roads.shp": INDEX, "a/ROADS.DBF": b"1", "a/Roads.dbf": b"2", "b/roads.prj": b"3"}
    (candidate,) = held(tmp_path, makers.zipped(files)).candidates
    assert {ending: path.read_bytes() for ending, path in candidate.parts.items()} == {".dbf": b"2"}


def test_what_stays_packed_or_is_switched_off_is_named(tmp_path):
    files = {"in.zip": makers.zipped({"a.kml.zip": b""}), "a.kml": KML, "b.csv": TABLE}
    result = held(tmp_path, makers.zipped(files), formats=frozenset({"KML"}))
    assert [candidate.name for candidate in result.candidates] == ["a.kml"]
    assert result.left_out == ("in.zip", "b.csv")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (makers.zipped({"a.txt": b"hello"}), "zip-without-layers"),
        (makers.zipped({"__MACOSX/a.kml": KML, ".b.kml": KML}), "zip-without-layers"),
        (makers.zipped({}), "zip-without-layers"),
        (makers.zipped({"a.zip": makers.zipped({"b": KML})}), "packed-twice"),
        (makers.zipped({"a.gz": gzip.compress(gzip.compress(KML))}), "packed-twice"),
        (makers.zipped({"a.zip": b"PK\x03\x04 broken"}), "packed-twice"),
        (gzip.compress(KML)[:40], "bad-zip"),
        (gzip.compress(KML)[:-4], "bad-zip"),
        (gzip.compress(KML) + gzip.compress(KML)[:40], "bad-zip"),
        (gzip.compress(KML) + gzip.compress(KML)[:40] + bytes(100), "bad-zip"),
        (b"\x1f\x8b\x08 broken", "bad-zip"),
        (gzip.compress(b""), "not-geodata"),
        (b"hello", "not-geodata"),
        (b"<html>", "html-page"),
        (gzip.compress(b"<html>"), "html-page"),
        (b"%PDF", "unsupported-format"),
        (makers.zipped({"mimetype": b"x", "content.xml": b"x"}), "unsupported-format"),
    ],
)
def test_where_there_is_nothing_the_reason_is_told(tmp_path, content, code):
    assert failure_of(tmp_path, content).code == code


def test_flipped_bits_in_a_gzip_file_are_noticed(tmp_path):
    content = bytearray(gzip.compress(makers.towns() * 10))
    content[-6] ^= 1
    assert failure_of(tmp_path, bytes(content)).code == "bad-zip"


def test_a_gzip_bomb_is_stopped_by_its_ratio(tmp_path):
    error = failure_of(tmp_path, gzip.compress(bytes(50_000_000)), name="a.gz", max_unpacked_bytes=10**12)
    assert (error.code, error.params["entry"]) == ("zip-bomb", "a.gz")
    assert unpacked_bytes(tmp_path) < 15_000_000


def test_a_gzip_file_of_many_empty_parts_is_no_trap(tmp_path):
    content = gzip.compress(b"") * 100_000 + gzip.compress(KML)
    assert found(tmp_path, content) == [("file", "KML")]


def test_a_table_of_40_million_rows_in_few_bytes_is_a_bomb(tmp_path):
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = b"".join(deflater.compress(b"1\n" * 10**6) for _ in range(40)) + deflater.flush()
    assert len(content) < 160_000
    assert failure_of(tmp_path, content, max_unpacked_bytes=10**12).code == "zip-bomb"
    assert unpacked_bytes(tmp_path) < 40_000_000


@pytest.mark.parametrize(
    ("pack", "found"),
    [(gzip.compress, "2 MB"), (lambda raw: makers.zipped({"a.csv": raw}), "4 MB")],
)
def test_at_the_cap_cap_and_size_are_named_and_no_more_lies_on_disk(tmp_path, pack, found):
    """A zip says how much it holds, a gzip file does not."""
    error = failure_of(tmp_path, pack(bytes(range(256)) * 16384), max_unpacked_bytes=1_500_000)
    assert (error.code, error.params) == ("zip-too-big", {"limit": "1.4 MB", "found": found})
    assert unpacked_bytes(tmp_path) <= 1_500_000


@pytest.mark.parametrize(
    "inner",
    [
        {"a.csv.gz": gzip.compress(TABLE * 20_000), "b.csv.gz": gzip.compress(TABLE * 20_000)},
        {name: makers.zipped({"doc.kml": KML * 1500}) for name in ("a.kmz", "b.kmz")},
        {name: makers.zipped({"[Content_Types].xml": b"", "xl/workbook.xml": TABLE * 20_000}) for name in "ab"},
    ],
)  # fmt: skip
def test_files_inside_an_archive_share_its_cap(tmp_path, inner):
    """Each would fit alone."""
    content = makers.zipped(inner)
    assert len(held(tmp_path, content, max_unpacked_bytes=10**7).candidates) == 2
    (tmp_path / "again").mkdir()
    assert failure_of(tmp_path / "again", content, max_unpacked_bytes=1_400_000).code == "zip-too-big"
    assert unpacked_bytes(tmp_path / "again") <= 1_400_000


def test_a_bomb_of_nested_zips_stays_packed(tmp_path):
    content = makers.zipped({"a": bytes(10**6)})
    for _ in range(5):
        content = makers.zipped({f"{number}.zip": content for number in range(10)})
    assert failure_of(tmp_path, content).code == "packed-twice"
    assert unpacked_bytes(tmp_path) < 10**6


def test_a_workbook_that_is_a_bomb_is_refused_before_anything_reads_it(tmp_path):
    bomb = makers.zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": bytes(50_000_000)})
    assert failure_of(tmp_path, bomb).code == "zip-bomb"
