"""Whether a text is a table of delimited values, and by what its values are separated."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs.geopreview.coordinates import find
from ckanext.hdxjobs.geopreview.headings import heading
from ckanext.hdxjobs.geopreview.values import Coordinates

#: In the order of preference where two fit equally well.
SEPARATORS = ",;\t|"
#: Records that are looked at, and the share of them that must be as wide as the header.
MAX_RECORDS, MIN_SHARE = 100, 0.8
#: Lines that these may take; a value may have many.
MAX_LINES = 10_000
#: Characters of a value, where all of a file is looked at.
MAX_CELL_CHARACTERS = 2**31 - 1
CHUNK_BYTES = 1024**2
#: Characters of a column's name; questionnaires ask whole questions there.
MAX_NAME_LENGTH = 300
NOTHING_SAID = Coordinates()

#: A first line with which spreadsheets say what separates.
_STATED = re.compile(r"\ufeff?sep=([,;\t|])[ \t]*\r?\n", re.IGNORECASE)
_END = "\x00end"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
#: A time of day, a number with a fraction, a sentence.
_NO_NAME = re.compile(r"\d\d:\d\d:\d\d|\A\s*[-+]?\d+[.,]\d+\s*\Z|\A(?:\S+\s+){3,}\S+[.!]\Z")
_GEOMETRY_NAME = re.compile(r"wkt|(?:the_)?geom(?:etry)?|shape", re.IGNORECASE)
_WKT = re.compile(r"(?:SRID=\d+;)?(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How a table of text is laid out.

    :ivar separator: what separates its values
    :ivar start: characters before the row that names the columns
    """

    separator: str
    start: int = 0


def separator(text: str, *, whole: bool) -> str | None:
    """What separates the values of a table; None for prose, logs, programs and all else.

    :param text: the start of a file
    :param whole: whether it is all of the file; else its last line may be cut off
    """
    found = layout(text, whole=whole)
    return found.separator if found else None


def layout(text: str, *, whole: bool, named: Coordinates = NOTHING_SAID) -> Layout | None:
    """How a table is laid out, or None: it is none; see ``separator``.

    :param named: columns that the publisher names
    """
    if _CONTROL.search(text) or not text.strip() or text.lstrip()[0] in "{[<":
        return None
    if not whole:
        text = text[: text.rfind("\n") + 1]
    stated = _STATED.match(text)
    if stated and text[stated.end() :].strip():
        return Layout(stated[1], stated.end())
    below = _below_titles(text, named)
    if below:
        return below
    widths = {}
    for sign in SEPARATORS:
        records = [cells for _, cells in _records(text, sign)]
        if records and _fits(records):
            widths[sign] = len(records[0])
    if widths:
        return Layout(max(widths, key=lambda sign: widths[sign]))
    return Layout(",") if _is_column_of_wkt(text) else None


def unclosed_line(path: Path, separator: str) -> int | None:
    """The line of a quotation mark that never closes, so that all behind it would be one value; else None."""
    with path.open("rb") as file:
        marks = sum(chunk.count(b'"') for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
    if marks % 2 == 0:
        return None
    usual = csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            return _unclosed_line(lines, separator)
    finally:
        csv.field_size_limit(usual)


def _unclosed_line(lines: Iterable[str], separator: str) -> int | None:
    # Another line at the end: if it is not the last record, a value has swallowed it.
    reader = csv.reader(itertools.chain(lines, ["\n", _END]), delimiter=separator)
    line, following = 1, 1
    for record in reader:
        line, following = following, reader.line_num + 1
        if record == [_END]:
            return None
    return line


def _below_titles(text: str, named: Coordinates) -> Layout | None:
    """The layout of a table under a title, or whose columns the publisher names."""
    for sign in SEPARATORS:
        records = _records(text, sign)
        number = heading([cells for _, cells in records], named) if records else None
        if number:
            return Layout(sign, records[number][0])
    return None


def _records(text: str, sign: str) -> list[tuple[int, list[str]]]:
    """The first filled records, each with the characters before it."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), MAX_LINES))
    starts = list(itertools.accumulate(map(len, lines), initial=0))
    reader = csv.reader(lines, delimiter=sign)
    result: list[tuple[int, list[str]]] = []
    line = 0
    try:
        for record in reader:
            if any(record):
                result.append((starts[line], record))
            line = reader.line_num
            if len(result) == MAX_RECORDS:
                break
    except csv.Error:
        return []
    return result


def _fits(records: list[list[str]]) -> bool:
    header, *rows = records
    if len(header) < 2 or not _is_header(header):
        return False
    if not rows and any(cell.startswith(" ") for cell in header):
        return False
    if find(header, [[] for _ in header], NOTHING_SAID):
        # Offices cut and paste: a table with coordinates is one however ragged its rows are.
        return True
    alike = sum(1 for row in rows if len(row) == len(header) or (len(row) == len(header) + 1 and not row[-1]))
    return alike >= MIN_SHARE * len(rows)


def _is_header(cells: list[str]) -> bool:
    """Whether these are names (years are too): no measured values, no log's time, no sentence."""
    if any(len(cell) > MAX_NAME_LENGTH or _NO_NAME.search(cell) for cell in cells):
        return False
    return any(char.isalpha() for cell in cells for char in cell)


def _is_column_of_wkt(text: str) -> bool:
    lines = text.split("\n", 2)
    return (
        len(lines) > 1
        and bool(_GEOMETRY_NAME.fullmatch(lines[0].strip().strip('"')))
        and bool(_WKT.match(lines[1].strip().lstrip('"')))
    )
