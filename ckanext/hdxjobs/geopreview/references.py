"""What in a file would make a driver open something else, made harmless before a driver sees it.

A wall of the sandbox stops it as well; this holds where there are no walls.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

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
#: A name in SQL, plain or in one of the four kinds of quotes.
_NAME = r"""(?:\w+|"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\])"""
#: SQLite's own kinds of virtual tables, which open nothing else.
_OWN_TABLE = re.compile(
    rf"\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}\s+USING\s+"
    r"""(["'`]?)(?:rtree|rtree_i32|fts[345])\1\s*\(""",
    re.IGNORECASE | re.ASCII,
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*", re.DOTALL)
_VIRTUAL = re.compile(r"CREATE\W+VIRTUAL\W", re.IGNORECASE | re.ASCII)


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

    :raises sqlite3.Error: nobody can tell
    """
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    ) as connection:
        # A name or a text may be no UTF-8, which is no reason to look away.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        # Lets a definition pass that this SQLite does not understand: GDAL's own may be newer.
        connection.execute("PRAGMA writable_schema = ON")
        for name, definition in connection.execute(
            "SELECT CAST(name AS TEXT), CAST(sql AS TEXT) FROM sqlite_master WHERE sql IS NOT NULL"
        ):
            if _VIRTUAL.search(_COMMENT.sub(" ", definition)) and not _OWN_TABLE.match(definition):
                return str(name)
    return None
