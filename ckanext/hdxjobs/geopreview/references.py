"""What in a file would make a driver open something else, made harmless before a driver sees it.

A wall of the sandbox stops it as well; this holds where there are no walls.
"""

from __future__ import annotations

import mmap
import re
import sqlite3
from pathlib import Path

#: A member "crs" that is an object; any of its letters may be written as an escape.
_CRS = re.compile(rb'"(c|\\u0063)(r|\\u0072)(s|\\u0073)"\s*:\s*\{', re.IGNORECASE)
#: Names of a CRS that are looked up in PROJ's own tables and nowhere else.
_NAMED = re.compile(
    rb'\s*(?:"type"\s*:\s*"name"\s*,\s*)?"properties"\s*:\s*\{\s*"name"\s*:\s*'
    rb'"(?:urn:(?:x-)?ogc:def:crs:[\w.:-]*|EPSG:{1,2}\d+|OGC:CRS84|CRS84)"\s*\}\s*(?:,\s*"type"\s*:\s*"name"\s*)?\}',
    re.IGNORECASE,
)
#: What a longest harmless "crs" takes.
LOOK_BYTES = 500
#: SQLite's own kinds of virtual tables, which open nothing else.
OWN_MODULES = re.compile(
    r"CREATE\s+VIRTUAL\s+TABLE\s+.+?\s+USING\s+\"?(rtree|rtree_i32|fts\d)\b", re.IGNORECASE | re.DOTALL
)


def defuse_crs(path: Path) -> int:
    """Rename each "crs" of a GeoJSON text that is no plain name, in place; how many.

    GDAL fetches a CRS that is a link, and PROJ opens files that its text names (OGC 08-131, old GeoJSON, 3).
    """
    if not path.stat().st_size:
        return 0
    count = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as text:
        for found in _CRS.finditer(text):
            if not _NAMED.match(text[found.end() : found.end() + LOOK_BYTES]):
                text[found.end(3) - 1 : found.end(3)] = b"x" if found.end(3) - found.start(3) == 1 else b"8"
                count += 1
    return count


def foreign_table(path: Path) -> str | None:
    """The first virtual table of an SQLite file that is not SQLite's own kind: it may read other files.

    Only the schema is read, as text; nothing in it is run.
    """
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return None
    try:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE%VIRTUAL%'"
        ).fetchall()
    except sqlite3.Error:
        return None
    finally:
        connection.close()
    return next((str(name) for name, sql in rows if not OWN_MODULES.match(str(sql))), None)
