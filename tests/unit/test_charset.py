"""In which encoding a Shapefile's texts are."""

from __future__ import annotations

import makers
import pytest

from ckanext.hdxjobs.geopreview.charset import UTF8, Charset, guess, of_dbf


@pytest.mark.parametrize(
    ("cpg", "expected"),
    [("UTF-8", "UTF-8"), ("UTF8\r\n", "UTF-8"), ("65001", "UTF-8"), ("1251", "CP1251"), ("ANSI 1256", "CP1256"), ("windows-1252", "CP1252"),
     ("ISO 88591", "ISO-8859-1"), ("ISO-8859-15", "ISO-8859-15"), ("88592", "ISO-8859-2"), ("Big5", "BIG5"), ("KOI8-R", "KOI8-R"), ("936", "CP936")],
)  # fmt: skip
def test_a_cpg_file_says_it_in_many_ways(tmp_path, cpg, expected):
    (tmp_path / "x.dbf").write_bytes(makers.dbf([b"a"]))
    (tmp_path / "x.cpg").write_text(cpg)
    assert of_dbf(tmp_path / "x.dbf") == Charset(expected)


@pytest.mark.parametrize(
    ("byte", "expected"), [(0xC9, "CP1251"), (0x03, "CP1252"), (0x7A, "CP936"), (0x65, "CP866")]
)
def test_the_language_byte_says_it_where_there_is_no_cpg(tmp_path, byte, expected):
    (tmp_path / "x.dbf").write_bytes(makers.dbf([b"\xe9"], language=byte))
    assert of_dbf(tmp_path / "x.dbf") == Charset(expected)


def test_a_cpg_of_nonsense_is_passed_over(tmp_path):
    (tmp_path / "x.dbf").write_bytes(makers.dbf([b"\xe9"], language=0xC9))
    (tmp_path / "x.cpg").write_bytes(b"\xff\0System")
    assert of_dbf(tmp_path / "x.dbf") == Charset("CP1251")


def test_plain_ascii_needs_no_guess(tmp_path):
    (tmp_path / "x.dbf").write_bytes(makers.dbf([b"Nairobi"]))
    assert of_dbf(tmp_path / "x.dbf") == UTF8


@pytest.mark.parametrize(
    ("codec", "text", "expected"),
    [
        ("utf-8", "Київ", "UTF-8"),
        ("cp1251", "Новосибирск область Київ", "CP1251"),
        ("cp1252", "Côte d'Ivoire São Tomé Curaçao", "CP1252"),
        ("cp1250", "Łódź Kraków Wrocław Częstochowa", "CP1250"),
        ("cp1256", "القاهرة والإسكندرية صنعاء", "CP1256"),
        ("gb18030", "北京市和上海市的地图", "GB18030"),
        ("cp866", "Москва Санкт-Петербург Казань", "CP866"),
    ],
)
def test_words_of_many_languages_are_guessed(codec, text, expected):
    assert guess(text.encode(codec)) == Charset(expected, guessed=True)


def test_an_empty_dbf_is_no_problem(tmp_path):
    (tmp_path / "x.dbf").write_bytes(b"")
    assert of_dbf(tmp_path / "x.dbf") == UTF8
