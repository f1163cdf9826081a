"""Arrow batches as rows of PostgreSQL's binary COPY format, made by numpy without a loop over rows.

The format: a header; per row a 16-bit count of cells, then per cell a 32-bit
length (-1 for null) and the value, all big endian; a trailer.
https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

#: PostgreSQL counts days and microseconds from 2000-01-01, Arrow from 1970-01-01.
EPOCH_DAYS = 10957
EPOCH_US = EPOCH_DAYS * 86_400_000_000
#: The first day PostgreSQL knows, 4714-11-24 BC, in days from 2000-01-01.
FIRST_DAY = -2451545

#: Bytes; above this mean length values are copied one by one, which then is the quicker way.
LONG_VALUE = 512

#: Bytes of EWKB before the first coordinate of a point (order of bytes, type, SRID), and of a vertex.
EWKB_HEAD, EWKB_VERTEX = 9, 16

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class Cells:
    """A column ready to be written: lengths (-1 for null), and its bytes laid end to end."""

    def __init__(self, lengths: Ints, starts: Ints, data: Bytes) -> None:
        self.lengths = lengths
        self.sizes = np.maximum(lengths, 0)
        self._starts = starts
        self._data = data

    def put(self, out: Bytes, at: Ints) -> None:
        """Write header and value of each cell at its place."""
        header = self.lengths.astype(">i4").view(np.uint8).reshape(-1, 4)
        out[at[:, None] + np.arange(4)] = header
        total = int(self.sizes.sum())
        if not total:
            return
        if total > LONG_VALUE * len(at):
            for target, start, size in zip(at + 4, self._starts, self.sizes, strict=True):
                out[target : target + size] = self._data[start : start + size]
            return
        before = np.cumsum(self.sizes) - self.sizes
        step = np.arange(total)
        out[step + np.repeat(at + 4 - before, self.sizes)] = self._data[
            step + np.repeat(self._starts - before, self.sizes)
        ]


def vertex_count(shapes: pa.Array) -> int:
    """About how many vertices EWKB in two dimensions has: exact for points, a little too many for the rest."""
    bytes_ = pc.sum(pc.binary_length(shapes)).as_py() or 0
    return int(bytes_ - EWKB_HEAD * (len(shapes) - shapes.null_count)) // EWKB_VERTEX


def encode(batch: pa.RecordBatch, *, json_columns: frozenset[int]) -> bytes:
    """The rows of a batch.

    :param json_columns: indexes of text columns that must hold valid JSON
    """
    columns = [
        cells(as_json(column) if index in json_columns else column)
        for index, column in enumerate(batch.columns)
    ]
    sizes = np.stack([column.sizes + 4 for column in columns])
    row_sizes = sizes.sum(axis=0) + 2
    row_starts = np.cumsum(row_sizes) - row_sizes
    out = np.empty(int(row_sizes.sum()), np.uint8)
    out[row_starts[:, None] + np.arange(2)] = np.frombuffer(len(columns).to_bytes(2, "big"), np.uint8)
    at = row_starts + 2
    for column, size in zip(columns, sizes, strict=True):
        column.put(out, at)
        at = at + size
    return out.tobytes()


def cells(array: pa.Array) -> Cells:
    """The cells of one column."""
    nulls = np.asarray(array.is_null())
    if any(
        is_one(array.type) for is_one in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_binary)
    ):
        return _texts(array, nulls)
    values, bad = _numbers(array)
    nulls = nulls | bad
    width = values.dtype.itemsize
    lengths = np.where(nulls, -1, width).astype(np.int64)
    starts = np.arange(len(array), dtype=np.int64) * width
    return Cells(lengths, starts, np.ascontiguousarray(values).view(np.uint8))


def _texts(array: pa.Array, nulls: npt.NDArray[np.bool_]) -> Cells:
    _, offsets, data = array.buffers()
    if not len(array):
        return Cells(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    edges = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    content = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return Cells(np.where(nulls, -1, np.diff(edges)), edges[:-1], content)


def _numbers(array: pa.Array) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Big-endian values, and which of them PostgreSQL cannot hold (they become null)."""
    none = np.zeros(len(array), bool)
    if pa.types.is_boolean(array.type):
        return np.asarray(array.fill_null(False)).astype(np.uint8), none
    if pa.types.is_floating(array.type):
        return np.asarray(array.fill_null(0.0)).astype(">f8"), none
    if pa.types.is_date32(array.type):
        days = np.asarray(array.cast(pa.int32()).fill_null(0)).astype(np.int64) - EPOCH_DAYS
        return days.astype(">i4"), days < FIRST_DAY
    numbers = np.asarray(array.cast(pa.int64()).fill_null(0))
    if pa.types.is_timestamp(array.type):
        return (numbers - EPOCH_US).astype(">i8"), numbers - EPOCH_US < FIRST_DAY * 86_400_000_000
    return numbers.astype(">i8"), none


def as_json(array: pa.Array) -> pa.Array:
    """Texts that PostgreSQL accepts as JSON; what is not JSON becomes a JSON string."""
    return pa.array([None if text is None else valid_json(text) for text in array.to_pylist()], pa.string())


def valid_json(text: str) -> str:
    """The text itself where it is JSON, else the text as a JSON string."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return json.dumps(text)
    return text


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity; JSON, and so PostgreSQL, does not have them."""
    raise ValueError(constant)


class CopyFile:
    """Chunks of bytes as the file that ``COPY FROM STDIN`` reads.

    :ivar error: what making the chunks raised; psycopg2 itself would swallow it
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = memoryview(b"")
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, b"" at the end."""
        while not len(self._rest):
            chunk = self._next()
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        piece = self._rest[:size] if size >= 0 else self._rest
        self._rest = self._rest[len(piece) :]
        return bytes(piece)

    def _next(self) -> bytes | None:
        try:
            return next(self._chunks, None)
        except Exception as error:
            self.error = error
            raise
