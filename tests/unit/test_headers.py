"""What servers say of files in their headers, rightly and wrongly."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ckanext.hdxjobs.geopreview import headers

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('attachment; filename="camps.geojson"', "camps.geojson"),
        ("attachment; filename=camps.geojson", "camps.geojson"),
        ("ATTACHMENT; FileName=camps.geojson", "camps.geojson"),
        ("inline; filename=\"x.kml\"; filename*=UTF-8''%D8%A7%D9%84%D9%8A%D9%85%D9%86.kml", "اليمن.kml"),
        ("attachment; filename*=UTF-8''%D8%A7.kml; filename=\"x.kml\"", "ا.kml"),
        ("attachment; filename*=iso-8859-1'en'%A3%20rates.zip", "£ rates.zip"),
        ('attachment; filename="' + "Zürich.kml".encode().decode("latin-1") + '"', "Zürich.kml"),
        ('attachment; filename="Z\xfcrich.kml"', "Zürich.kml"),
        ('attachment; filename="a \\"b\\".kml"', 'a "b".kml'),
        ('attachment;\r\n filename="folded.kml"', "folded.kml"),
    ],
)
def test_a_server_names_its_file(text: str, name: str) -> None:
    assert headers.file_name(text) == name


@pytest.mark.parametrize(
    "text",
    [None, "", "attachment", "inline; size=3", 'attachment; filename=""', "attachment; filename=..", "attachment; filename*=idna''%FF",
     "attachment; filename*=u\0''x", "attachment; filename*=UTF-8''%2F", ";;;", "=", 'attachment; filename="/"'],
)  # fmt: skip
def test_a_server_that_gives_no_usable_name_gives_none(text: str | None) -> None:
    assert headers.file_name(text) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename*=UTF-8''..%2F..%2Fx.kml", "x.kml"),
        ('attachment; filename="C:\\\\data\\\\x.kml"', "x.kml"),
        ("attachment; filename*=UTF-8''a%00b%0D%0A.kml", "ab.kml"),
        ("attachment; filename*=UTF-8''%E2%80%AEgpj.kml", "gpj.kml"),
        ('attachment; filename=" .hidden "', "hidden"),
    ],
)
def test_a_name_is_made_harmless(text: str, name: str) -> None:
    assert headers.file_name(text) == name


def test_a_name_without_end_is_cut() -> None:
    assert len(headers.file_name(f"attachment; filename={'é' * 5000}").encode()) <= 255


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 0 ", 0), ("Tue, 24 Nov 2026 12:10:00 GMT", 600), ("Tue, 24 Nov 2026 12:10:00 -0000", 600),
     ("Tue, 24 Nov 2026 11:00:00 GMT", 0), (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("9" * 99, None),
     (f"Tue, 24 Nov {'9' * 20} 12:10:00 GMT", None), (f"Tue, 24 Nov 2026 12:10:00 +{'9' * 20}", None)],
)  # fmt: skip
def test_a_server_says_when_to_come_back(text: str | None, seconds: int | None) -> None:
    said = {} if text is None else {"Retry-After": text}
    assert headers.retry_after_s(said, now=NOW) == seconds


def test_a_server_that_says_when_to_come_back_by_its_own_clock_is_believed() -> None:
    said = {"Retry-After": "Tue, 24 Nov 2026 15:10:00 GMT", "Date": "Tue, 24 Nov 2026 15:00:00 GMT"}
    assert headers.retry_after_s(said, now=NOW) == 600


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ({"Content-Length": "12"}, 12),
        ({"Content-Length": "12", "Content-Encoding": "identity"}, 12),
        ({"Content-Length": "12", "Content-Encoding": "gzip"}, None),
        ({"Content-Length": "-1"}, None),
        ({"Content-Length": "twelve"}, None),
        ({"Content-Length": "١٢"}, None),
        ({}, None),
    ],
)
def test_a_length_is_believed_if_it_is_that_of_the_file(said: dict[str, str], count: int | None) -> None:
    assert headers.announced_bytes(said) == count
