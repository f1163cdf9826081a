"""Arrow batches as binary COPY rows, compared with a plain writer."""

from __future__ import annotations

import datetime as dt
import json
import struct

import pyarrow as pa
import pytest

from ckanext.hdxjobs.geopreview import rows


def plain(columns):
    """The same format, written cell by cell."""
    out = b""
    for row in zip(*columns, strict=True):
        out += struct.pack(">h", len(row))
        for value in row:
            out += struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value
    return out


def encode(*arrays, json_columns=frozenset()):
    names = [f"c{number}" for number in range(len(arrays))]
    return rows.encode(pa.record_batch(list(arrays), names=names), json_columns=frozenset(json_columns))


def test_every_type_and_null_is_written_as_postgresql_reads_it():
    day, moment = dt.date(2026, 11, 23), dt.datetime(2026, 11, 23, 1, 2, 3, 4)
    got = encode(
        pa.array([1, None, -(2**63)], pa.int64()),
        pa.array([0.5, None, float("nan")], pa.float64()),
        pa.array([True, None, False]),
        pa.array(["é", None, ""], pa.string()),
        pa.array([b"\1\2", None, b""], pa.binary()),
        pa.array([b"\3", None, b""], pa.large_binary()),
        pa.array([day, None, dt.date(2000, 1, 1)], pa.date32()),
        pa.array([moment, None, dt.datetime(2000, 1, 1)], pa.timestamp("us")),
        pa.array([dt.time(1, 2, 3), None, dt.time(0)], pa.time64("us")),
    )
    days = (day - dt.date(2000, 1, 1)).days
    micros = (moment - dt.datetime(2000, 1, 1)) // dt.timedelta(microseconds=1)
    assert got == plain(
        [
            [struct.pack(">q", 1), None, struct.pack(">q", -(2**63))],
            [struct.pack(">d", 0.5), None, struct.pack(">d", float("nan"))],
            [b"\1", None, b"\0"],
            ["é".encode(), None, b""],
            [b"\1\2", None, b""],
            [b"\3", None, b""],
            [struct.pack(">i", days), None, struct.pack(">i", 0)],
            [struct.pack(">q", micros), None, struct.pack(">q", 0)],
            [struct.pack(">q", 3_723_000_000), None, struct.pack(">q", 0)],
        ]
    )


@pytest.mark.parametrize("length", [0, 1, 5, 511, 513, 5000])
def test_long_and_short_values_are_written_alike(length):
    texts = ["x" * length, None, "y" * (length // 2), "z"]
    numbers = [1, 2, None, 4]
    assert encode(pa.array(texts, pa.string()), pa.array(numbers, pa.int64())) == plain(
        [
            [None if text is None else text.encode() for text in texts],
            [None if number is None else struct.pack(">q", number) for number in numbers],
        ]
    )


@pytest.mark.parametrize("kind", [pa.string(), pa.large_binary()], ids=str)
def test_a_slice_of_an_array_is_written_from_where_it_starts(kind):
    whole = pa.array(["a", "bb", None, "dddd"], kind)
    assert encode(whole.slice(1, 2)) == plain([[b"bb", None]])


def test_days_before_the_first_one_of_postgresql_become_null():
    array = pa.array([-3_000_000], pa.int32()).cast(pa.date32())
    assert encode(array) == plain([[None]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('"\\u0000"', '"\\u0000"'),
        ("NaN", '"NaN"'),
        ("{broken", '"{broken"'),
        ("", '""'),
        ("[" * 5000, json.dumps("[" * 5000)),
    ],
)
def test_what_is_not_json_becomes_a_json_string(text, expected):
    assert encode(pa.array([text], pa.string()), json_columns={0}) == plain([[expected.encode()]])


def test_a_copy_file_gives_all_bytes_in_pieces_of_any_size():
    file = rows.CopyFile([b"abc", b"", b"defgh"])
    pieces = []
    while piece := file.read(2):
        pieces.append(piece)
    assert b"".join(pieces) == b"abcdefgh"
    assert all(len(piece) <= 2 for piece in pieces)


def test_a_copy_file_remembers_what_broke():
    def chunks():
        yield b"a"
        raise KeyError("gone")

    file = rows.CopyFile(chunks())
    assert file.read(10) == b"a"
    with pytest.raises(KeyError):
        file.read(10)
    assert isinstance(file.error, KeyError)
