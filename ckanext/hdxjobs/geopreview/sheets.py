"""A table as GDAL is made to read it: from which row on, with which names, and what its values are.

GDAL takes the first row for the names, or guesses that there are none.  Here a first look finds the row
that names the places, a full pass finds what kind each column is, and a small table stays in memory so
that it is parsed only once.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ckanext.hdxjobs.geopreview import columns, coordinates, tabular
from ckanext.hdxjobs.geopreview.formats import Format
from ckanext.hdxjobs.geopreview.headings import MAX_TITLE_ROWS, are_tags, heading
from ckanext.hdxjobs.geopreview.kinds import Kind, Kinds, is_text
from ckanext.hdxjobs.geopreview.layout import layout, unclosed_line
from ckanext.hdxjobs.geopreview.values import Coordinates

#: Rows below titles that are looked at to find the names.
LOOK_ROWS = MAX_TITLE_ROWS + 50
#: Bytes of a file's start in which its layout shows.
HEAD_BYTES = 512 * 1024

#: GDAL's words for what separates.
_SEPARATORS = {",": "COMMA", ";": "SEMICOLON", "\t": "TAB", "|": "PIPE"}

#: Opens a table: (path, options) -> its meta data and batches.
Source = Callable[[str, Mapping[str, str]], AbstractContextManager[tuple[dict[str, Any], Any]]]


class ColumnMissingError(Exception):
    """The publisher named a column that is not there; ``names`` are."""

    def __init__(self, wanted: str, names: list[str]) -> None:
        super().__init__(wanted)
        self.names = names


class UnclosedError(Exception):
    """A quotation mark opens in ``line`` and never closes: GDAL drops all behind it without a word."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass(frozen=True)
class Way:
    """How GDAL is to open a table.

    :ivar path: as GDAL has it; it may begin in the middle of a file
    :ivar heading: the row that names the columns, in GDAL's counting; None: GDAL has the names
    :ivar texts: whether columns of text may be of another kind, because GDAL has all values as texts
    """

    path: str
    options: Mapping[str, str]
    heading: int | None = None
    texts: bool = False


@dataclass
class Sheet:
    """A table that is about to be read.

    :ivar batches: all of them; texts are valid UTF-8
    :ivar rows: None: no column tells a place
    :ivar kinds: of the columns that are texts to GDAL and something else to people, by number in the batches
    """

    meta: dict[str, Any]
    schema: pa.Schema
    first: pa.RecordBatch | None
    batches: Iterator[pa.RecordBatch]
    rows: tabular.Rows | None
    kinds: Mapping[int, Kind]


class Table:
    """One table of a file; what was found out once is known when it is opened again.

    :param find: finds out how it is to be opened
    :param held_bytes: up to which it stays in memory
    """

    def __init__(
        self,
        source: Source,
        named: Coordinates,
        find: Callable[[Source, Coordinates], Way],
        *,
        held_bytes: int,
    ) -> None:
        self._held_bytes = held_bytes
        self._source, self._named, self._find = source, named, find
        self._way: Way | None = None
        self._kinds: Mapping[int, Kind] | None = None

    def open(self, stack: ExitStack) -> Sheet:
        """Open it, and keep it open as long as ``stack``.

        :raises ColumnMissingError: a column that the publisher named is not there
        :raises UnclosedError: a value that begins with a quotation mark has no end
        """
        self._way = self._way or self._find(self._source, self._named)
        opened = stack.enter_context(ExitStack())
        sheet = self._opened(self._way, opened)
        if not self._way.texts or sheet.rows is None:
            return sheet
        if self._kinds is None:
            held, self._kinds = _surveyed(sheet, self._held_bytes)
            if held is None:
                opened.close()
                sheet = self._opened(self._way, stack)
            else:
                sheet.batches = iter(held)
        sheet.kinds = self._kinds
        return sheet

    def _opened(self, way: Way, stack: ExitStack) -> Sheet:
        meta, reader = stack.enter_context(self._source(way.path, way.options))
        schema: pa.Schema = reader.schema
        batches: Iterator[pa.RecordBatch] = map(_valid, reader)
        if way.heading is not None:
            schema, batches = _headed(schema, batches, way.heading)
        first = next(batches, None)
        names = _names(schema, meta)
        try:
            rows = tabular.rows(names, first, self._named)
        except coordinates.ColumnMissingError as missing:
            raise ColumnMissingError(str(missing), names) from missing
        return Sheet(meta, schema, first, _with(first, batches), rows, {})


def way(path: Path, format_: Format) -> Callable[[Source, Coordinates], Way]:
    """What finds out how a table is opened."""
    if "CSV" in format_.drivers:
        return _of_text(path)
    if "XLSX" in format_.drivers:
        return _of_workbook(path)
    # A copy that another program made: the names are found, and the texts of a table of text still are texts.
    return lambda _, __: Way(str(path), {}, texts=format_.single)


def _of_text(path: Path) -> Callable[[Source, Coordinates], Way]:
    """How a table of delimited text is opened: its separator, and where it begins below a title."""

    def find(_: Source, named: Coordinates) -> Way:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        text = head.decode("utf-8", "ignore")
        found = layout(text, whole=len(head) < HEAD_BYTES, named=named)
        line = unclosed_line(path, found.separator)
        if line is not None:
            raise UnclosedError(line)
        start = len(text[: found.start].encode())
        there = f"/vsisubfile/{start},{path}" if start else str(path)
        headers = "YES" if found.is_headed else "AUTO"
        return Way(there, {"SEPARATOR": _SEPARATORS[found.separator], "HEADERS": headers}, texts=True)

    return find


def _of_workbook(path: Path) -> Callable[[Source, Coordinates], Way]:
    """How a sheet is opened; GDAL finds the names where all of them are texts and no value below is."""

    def find(source: Source, named: Coordinates) -> Way:
        there = str(path)
        with source(there, {}) as (meta, reader):
            names = _names(reader.schema, meta)
            with contextlib.suppress(coordinates.ColumnMissingError):
                if tabular.rows(names, next(reader, None), named):
                    return Way(there, {}, texts=False)
        with source(there, {"HEADERS": "DISABLE"}) as (meta, reader):
            first = next(reader, None)
            rows = [] if first is None else _cells(first.slice(0, LOOK_ROWS))
        number = heading(rows, named) or 0
        if number == 0:
            return Way(there, {"HEADERS": "FORCE"}, texts=True)
        return Way(there, {"HEADERS": "DISABLE"}, heading=number, texts=True)

    return find


def _surveyed(sheet: Sheet, most: int) -> tuple[list[pa.RecordBatch] | None, Mapping[int, Kind]]:
    """All batches, or None if they are too many to keep, and the kinds that their columns have."""
    kinds = Kinds(sheet.schema)
    held: list[pa.RecordBatch] | None = []
    byte_count = 0
    for number, batch in enumerate(sheet.batches):
        has_tags = number == 0 and bool(_cells(batch.slice(0, 1))) and are_tags(_cells(batch.slice(0, 1))[0])
        kinds.look(batch.slice(1) if has_tags else batch)
        byte_count += batch.nbytes
        if held is not None:
            held.append(batch)
            held = held if byte_count <= most else None
    return held, kinds.found()


def _headed(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], number: int
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Batches from the row below the names on, and with these names."""
    first = next(batches)
    names = _cells(first.slice(number, 1))[0]
    named = pa.schema(
        [
            schema.field(0),
            *(schema.field(n).with_name(name or schema.field(n).name) for n, name in enumerate(names, 1)),
        ]
    )
    rest = itertools.chain([first.slice(number + 1)], batches)
    return named, (pa.RecordBatch.from_arrays(batch.columns, schema=named) for batch in rest)


def _names(schema: pa.Schema, meta: Mapping[str, Any]) -> list[str]:
    """GDAL puts the fid first, and a geometry of its own last."""
    return [field.name for field in schema][1 : -1 if meta["geometry_type"] else None]


def _cells(batch: pa.RecordBatch) -> list[list[str]]:
    """The texts of rows, without the fid."""
    by_column = [[_text(value) for value in column.to_pylist()] for column in batch.columns[1:]]
    return [list(row) for row in zip(*by_column, strict=True)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _valid(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same batch, its texts valid UTF-8."""
    arrays = [columns.valid_text(each) if is_text(each.type) else each for each in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _with(first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return rest if first is None else itertools.chain([first], rest)
