"""Which row of a table names its columns: above it offices write titles, dates and notes.

Pure: the texts of the first rows in, the number of a row out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ckanext.hdxjobs.geopreview.coordinates import ColumnMissingError, Found, find
from ckanext.hdxjobs.geopreview.values import Coordinates

#: Rows among which the names are looked for, and rows below that are to confirm them.
MAX_TITLE_ROWS, SAMPLE_ROWS = 20, 20

_NUMERIC = re.compile(r"\W*\d|[NSEWOL]\W*\d", re.IGNORECASE)
_TAG = re.compile(r"#\s*[A-Za-z]")

Row = Sequence[str]


def heading(rows: Sequence[Row], named: Coordinates) -> int | None:
    """The number of the row that names columns of a place, or None: no row does.

    The first row may do so in any way; further down only by latitude and longitude with numbers below, or
    by the publisher's own words.
    """
    for number, names in enumerate(rows[: MAX_TITLE_ROWS + 1]):
        samples = [
            [row[n] for row in rows[number + 1 : number + 1 + SAMPLE_ROWS] if n < len(row) and row[n]]
            for n in range(len(names))
        ]
        try:
            found = find(names, samples, named)
        except ColumnMissingError:
            continue
        if found and (not number or named.is_set or _confirmed(found, samples)):
            return number
    return None


def _confirmed(found: Found, samples: Sequence[Row]) -> bool:
    """Whether numbers are below both names, so that they are no words of a text."""
    if found.latitude is None or found.longitude is None or not found.stated:
        return False
    below = samples[found.latitude], samples[found.longitude]
    return all(
        texts and sum(bool(_NUMERIC.match(text.strip())) for text in texts) * 2 >= len(texts)
        for texts in below
    )


def are_tags(row: Row) -> bool:
    """Whether a row is one of HXL's tags (https://hxlstandard.org), which say of columns what they are."""
    filled = [cell for cell in row if cell.strip()]
    return bool(filled) and all(_TAG.match(cell.strip()) for cell in filled)
