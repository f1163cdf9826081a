"""Whether a text is a table of delimited values, and by what its values are separated."""

from __future__ import annotations

import csv
import io
import itertools
import re

#: In the order of preference where two fit equally well.
SEPARATORS = ",;\t|"
#: Records that are looked at, and the share of them that must be as wide as the header.
MAX_RECORDS, MIN_SHARE = 100, 0.8
#: Characters of a column's name; questionnaires ask whole questions there.
MAX_NAME_LENGTH = 300

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
#: A time of day, a number with a fraction, a sentence.
_NO_NAME = re.compile(r"\d\d:\d\d:\d\d|\A\s*[-+]?\d+[.,]\d+\s*\Z|\A(?:\S+\s+){3,}\S+[.!]\Z")
_GEOMETRY_NAME = re.compile(r"wkt|(?:the_)?geom(?:etry)?|shape", re.IGNORECASE)
_WKT = re.compile(r"(?:SRID=\d+;)?(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE)


def separator(text: str, *, whole: bool) -> str | None:
    """What separates the values of a table; None for prose, logs, programs and all else.

    :param text: the start of a file
    :param whole: whether it is all of the file; else its last line may be cut off
    """
    if _CONTROL.search(text) or not text.strip() or text.lstrip()[0] in "{[<":
        return None
    if not whole:
        text = text[: text.rfind("\n") + 1]
    widths = {}
    for sign in SEPARATORS:
        records = _records(text, sign)
        if records and _fits(records):
            widths[sign] = len(records[0])
    if widths:
        return max(widths, key=lambda sign: widths[sign])
    return "," if _is_column_of_wkt(text) else None


def _records(text: str, sign: str) -> list[list[str]]:
    filled = (record for record in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if any(record))
    try:
        return list(itertools.islice(filled, MAX_RECORDS))
    except csv.Error:
        return []


def _fits(records: list[list[str]]) -> bool:
    header, *rows = records
    if len(header) < 2 or not _is_header(header):
        return False
    if not rows and any(cell.startswith(" ") for cell in header):
        return False
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
