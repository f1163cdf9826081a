"""How a table of text is laid out: what separates its values, where it begins, and whether its end is one."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs.geopreview.delimited import MAX_RECORDS, SEPARATORS, separator
from ckanext.hdxjobs.geopreview.headings import heading
from ckanext.hdxjobs.geopreview.values import Coordinates

#: Lines that the records which are looked at may take; a value may have many.
MAX_LINES = 10_000
#: Characters of a value, where all of a file is looked at.
MAX_CELL_CHARACTERS = 2**31 - 1
CHUNK_BYTES = 1024**2

#: A first line with which spreadsheets say what separates.
_STATED = re.compile(r"\ufeff?sep=([,;\t|])[ \t]*\r?\n", re.IGNORECASE)
_END = "\x01end"


@dataclass(frozen=True)
class Layout:
    """How a table is laid out.

    :ivar separator: what separates its values
    :ivar start: characters before its first row
    :ivar is_headed: the first row names columns of a place; else nobody knows what it is
    """

    separator: str
    start: int = 0
    is_headed: bool = False


def layout(text: str, *, whole: bool, named: Coordinates) -> Layout:
    """How a table is laid out, titles above it left out.

    :param text: the start of a table
    :param whole: whether it is all of it
    :param named: columns that the publisher names
    """
    stated = _STATED.match(text)
    signs, skipped = (stated[1], stated.end()) if stated else (SEPARATORS, 0)
    for sign in _likely(text[skipped:], signs, whole=whole):
        records = _records(text[skipped:], sign)
        number = heading([cells for _, cells in records], named)
        if number is not None:
            start = records[number][0] + skipped if number else skipped
            return Layout(sign, start, is_headed=True)
    return Layout(_likely(text[skipped:], signs, whole=whole)[0], skipped)


def _likely(text: str, signs: str, *, whole: bool) -> str:
    """Separators, the most likely one first."""
    first = separator(text, whole=whole) or signs[0]
    return signs if len(signs) == 1 else first + signs.replace(first, "")


def _records(text: str, sign: str) -> list[tuple[int, list[str]]]:
    """The first filled records, each with the characters before it."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), MAX_LINES))
    starts = list(itertools.accumulate(map(len, lines), initial=0))
    reader = csv.reader((line.replace("\0", "") for line in lines), delimiter=sign)
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
        # A value larger than the module's limit (128 kB) ends the look.
        return result
    return result


def unclosed_line(path: Path, separator: str) -> int | None:
    """The line of a quotation mark that never closes, so that all behind it would be one value; else None."""
    with path.open("rb") as file:
        marks = sum(chunk.count(b'"') for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
    if marks % 2 == 0:
        return None
    usual = csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            return _unclosed_line((line.replace("\0", "") for line in lines), separator)
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
