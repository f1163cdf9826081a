"""Hostile archives, made in code."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

import makers
import pytest

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview.unzip import unzip


def run(tmp_path, content, max_unpacked_bytes=10**8):
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    return unzip(archive, folder=tmp_path / "out", max_unpacked_bytes=max_unpacked_bytes)


def failure_of(tmp_path, content, **kw):
    with pytest.raises(DetectError) as caught:
        run(tmp_path, content, **kw)
    return caught.value


def with_entry(name, content=b"x", *, mode=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        if mode is not None:
            info.create_system = 3
            info.external_attr = mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def test_plain_files_come_out_under_names_of_our_own(tmp_path):
    entries = run(tmp_path, makers.zipped({"a/b.shp": b"1", "ü 漢.dbf": b"22"}))
    assert [(entry.name, entry.path.read_bytes()) for entry in entries] == [
        ("a/b.shp", b"1"),
        ("ü 漢.dbf", b"22"),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000", "00001"]


def test_names_in_utf8_are_read_even_if_the_archive_does_not_say_so(tmp_path):
    """As macOS and Info-ZIP write them."""
    named = with_entry("المدن.shp")
    said, hidden = b"\x00\x08", b"\x00\x00"
    unsaid = named.replace(b"PK\x03\x04\x14\x00" + said, b"PK\x03\x04\x14\x00" + hidden)
    unsaid = unsaid.replace(b"\x14\x00" + said, b"\x14\x00" + hidden)
    assert unsaid != named
    assert [entry.name for entry in run(tmp_path, unsaid)] == ["المدن.shp"]


def test_names_in_the_old_code_page_stay_as_they_are(tmp_path):
    old = with_entry("Stra_e.shp").replace(b"Stra_e", "Straße".encode("cp437"))
    assert [entry.name for entry in run(tmp_path, old)] == ["Straße.shp"]


def test_what_comes_out_is_for_our_eyes_only(tmp_path):
    (entry,) = run(tmp_path, makers.zipped({"a": b"1"}))
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_folders_are_passed_over(tmp_path):
    assert [entry.name for entry in run(tmp_path, makers.zipped({"a/": b"", "a/b": b"1"}))] == ["a/b"]


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "C:/x", "C:\\x", "..\\x", "a\\..\\..\\x", ".."]
)
def test_names_that_point_outside_are_refused(tmp_path, name):
    error = failure_of(tmp_path, with_entry(name))
    assert error.code == "unsafe-zip"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, kind):
    assert failure_of(tmp_path, with_entry("a", b"/etc/passwd", mode=kind | 0o777)).code == "unsafe-zip"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert failure_of(tmp_path, buffer.getvalue()).code == "unsafe-zip"


def test_too_many_entries_are_refused(tmp_path):
    error = failure_of(tmp_path, makers.zipped({str(number): b"" for number in range(10_001)}))
    assert (error.code, error.params) == ("zip-too-many-files", {"limit": 10_000})


def test_a_bomb_is_stopped_by_its_ratio(tmp_path):
    error = failure_of(tmp_path, makers.zipped({"a": bytes(30_000_000)}), max_unpacked_bytes=10**12)
    assert (error.code, error.params["entry"]) == ("zip-bomb", "a")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 15_000_000


def test_the_table_of_a_shapefile_may_be_mostly_blanks(tmp_path):
    """Columns 254 characters wide with a name in some of them pack 300 to 600 times."""
    (entry,) = run(tmp_path, makers.zipped({"Towns.DBF": b" " * 30_000_000}))
    assert entry.path.stat().st_size == 30_000_000


def test_many_files_together_are_stopped_at_the_cap(tmp_path):
    content = makers.zipped({str(number): bytes(100_000) for number in range(20)})
    error = failure_of(tmp_path, content, max_unpacked_bytes=1_000_000)
    assert error.code == "zip-too-big"
    assert error.params == {"found": "1.9 MB", "limit": "976.6 kB"}
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 1_000_000


def test_a_lying_header_does_not_help_a_bomb(tmp_path):
    content = bytearray(makers.zipped({"a": bytes(5_000_000)}))
    central = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, 10)
    struct.pack_into("<I", content, 22, 10)
    error = failure_of(tmp_path, bytes(content), max_unpacked_bytes=1_000_000)
    assert error.code in {"zip-too-big", "bad-zip"}


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    content = bytearray(makers.zipped({"a": b"x" * 1000, "b": b"y" * 1000}))
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    struct.pack_into("<I", content, second + 42, 0)
    assert failure_of(tmp_path, bytes(content)).code in {"unsafe-zip", "bad-zip"}


def test_a_password_is_told_as_such(tmp_path):
    content = bytearray(makers.zipped({"a": b"1"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    error = failure_of(tmp_path, bytes(content))
    assert (error.code, error.params["reason"]) == ("bad-zip", "it is protected by a password")


@pytest.mark.parametrize("cut", [10, 60, -1, -10])
def test_a_cut_off_archive_is_bad(tmp_path, cut):
    assert failure_of(tmp_path, makers.zipped({"a": bytes(range(256)) * 4})[:cut]).code == "bad-zip"


def test_flipped_bits_are_noticed(tmp_path):
    content = bytearray(makers.zipped({"a": bytes(range(256)) * 40}))
    content[60] ^= 0xFF
    assert failure_of(tmp_path, bytes(content)).code == "bad-zip"


def test_a_list_of_a_million_entries_is_not_even_read(tmp_path):
    """46 bytes each, and half a kilobyte of memory."""
    entry = b"PK\x01\x02" + bytes(42)
    directory = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(directory), 0, 0)
    error = failure_of(tmp_path, directory + end)
    assert (error.code, error.params) == ("zip-too-many-files", {"limit": 10_000})
