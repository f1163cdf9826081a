"""Whether a text is a table of delimited values, and by what its values are separated."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from ckanext.hdxjobs.geopreview.coordinates import find
from ckanext.hdxjobs.geopreview.values import Coordinates

#: In the order of preference where two fit equally well.
SEPARATORS = ",;\t|"
#: Records that are looked at, and the share of them that must be as wide as most: titles stand above the tables
#: of offices, notes below them, and cells are missing at the end of lines.
MAX_RECORDS, MIN_SHARE = 100, 0.6
#: Characters of a column's name; questionnaires ask whole questions there.
MAX_NAME_LENGTH = 300
#: Words between two commas that a sentence has on the average, and a table's cell seldom.
PROSE_WORDS = 2
#: Characters of a text of which one may be NUL; in the texts of programs some are, in other files many.
CHARACTERS_A_NUL = 100

#: Bytes that no text has.
CONTROL = re.compile(r"[\x01-\x08\x0e-\x19\x1b-\x1f\x7f]")
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*\Z")
#: What a name seldom has: a time of day, a sentence, the brackets and signs of a program.
_NO_NAME = re.compile(r"\d\d:\d\d:\d\d|\A(?:\S+\s+){3,}\S+[.!]\Z|[{}=\[]|\b(?:import|INSERT INTO|SELECT) ")
#: Between the head and the rows of a table that is drawn in a text.
_RULER = re.compile(r"[\s:|=-]*-[\s:|=-]*\Z")
_WKT = re.compile(
    r"\s*(?:SRID=\d+;)?(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\s*(?:Z|M|ZM)?\s*\(",
    re.IGNORECASE,
)


def separator(text: str, *, whole: bool) -> str | None:
    """What separates the values of a table; None for prose, logs, programs and all else.

    :param text: the start of a file
    :param whole: whether it is all of the file; else its last record may be cut off
    """
    text = text.rstrip("\x1a")
    if CONTROL.search(text) or text.count("\0") * CHARACTERS_A_NUL > len(text):
        return None
    if not text.strip() or text.lstrip()[0] in "{[<":
        return None
    fits: dict[tuple[float, int], str] = {}
    for sign in SEPARATORS:
        fit = _fit(_records(text, sign, whole=whole))
        if fit is not None:
            fits.setdefault(fit, sign)
    return fits[max(fits)] if fits else None


def _records(text: str, sign: str, *, whole: bool) -> list[list[str]]:
    """The first records that are not blank, up to a cell that is larger than the module's limit (128 kB)."""
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=sign)
    records: list[list[str]] = []
    try:
        for record in reader:
            if len(records) == MAX_RECORDS:
                return records
            if any(cell.strip() for cell in record):
                records.append(record)
    except csv.Error:
        return records
    return records if whole else records[:-1]


def _fit(records: list[list[str]]) -> tuple[float, int] | None:
    """The share of the records that are as wide as most, and that width; None: this is no table."""
    if _is_column_of_wkt(records):
        return 1.0, 1
    if _names_a_place(records):
        # Offices cut and paste: a table with coordinates is one however ragged its rows are.
        return 1.0, len(records[0])
    widths = Counter(len(record) for record in records if len(record) > 1)
    if not widths:
        return None
    width, count = widths.most_common(1)[0]
    share = count / len(records)
    table = [record for record in records if len(record) == width]
    return (share, width) if share >= MIN_SHARE and _is_table(table) else None


def _names_a_place(records: list[list[str]]) -> bool:
    return (
        bool(records)
        and len(records[0]) > 1
        and bool(find(records[0], [[] for _ in records[0]], Coordinates()))
    )


def _is_table(records: list[list[str]]) -> bool:
    header = records[0]
    if not any(cell.strip() for record in records for cell in record[1:]):
        return False
    if any(len(cell) > MAX_NAME_LENGTH or _NO_NAME.search(cell) for cell in header):
        return False
    if len(records) == 1 and any(cell.startswith(" ") for cell in header):
        return False
    starts = (" ".join(record)[:MAX_NAME_LENGTH] for record in records[:2])
    return not _is_prose(records) and not any(map(_RULER.match, starts))


def _is_prose(records: list[list[str]]) -> bool:
    """Sentences: a blank after each comma, several words between two, and no number alone."""
    cells = [cell for record in records for cell in record]
    words = sum(len(cell.split()) for cell in cells)
    return (
        words > PROSE_WORDS * len(cells)
        and all(cell[:1] in ("", " ") for record in records for cell in record[1:])
        and not any(_NUMBER.match(cell) for cell in cells)
    )


def _is_column_of_wkt(records: list[list[str]]) -> bool:
    """Whether it is one column, of shapes below a name."""
    return (
        len(records) > 1
        and all(len(record) == 1 for record in records)
        and not _WKT.match(records[0][0])
        and all(_WKT.match(record[0]) for record in records[1:])
    )
