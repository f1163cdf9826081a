"""What a file is, by its content; its name is not asked."""

from __future__ import annotations

import re
from pathlib import Path

from ckanext.hdxjobs.geopreview import charset, delimited

#: Kinds that are no format of the table: packed files, and what a server shows instead of a file.
ZIP, GZIP, PAGE = "zip", "gzip", "page"

#: Bytes that are looked at from the start, and for JSON also from the end.
HEAD_BYTES = 64 * 1024
#: Bytes of a table's start; the names of 2,000 columns take more than those.
TABLE_BYTES = 512 * 1024
#: Bytes of a JSON text in which GDAL looks for its type, and a few less.
EARLY_BYTES = 4000
CHUNK_BYTES = 1024**2

_MAGICS = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"\x1f\x8b\x08", GZIP),
    (b"\x00\x00\x27\x0a", "Shapefile"),
    (b"fgb\x03fgb", "FlatGeobuf"),
)
SQLITE_MAGIC = b"SQLite format 3\x00"
#: The application ids of GeoPackages 1.2 and later, 1.0 and 1.1, and where a SQLite file has it.
_GEOPACKAGE_IDS, _ID_AT = (b"GPKG", b"GP10", b"GP11"), slice(68, 72)

_MAPINFO = re.compile(
    rb"!table\s|Version\s+\d+\s*(?:\r?\n|\r)\s*(?:Charset|Delimiter|Unique|Index|CoordSys|Columns)\s",
    re.IGNORECASE,
)
#: A table of MapInfo that only says where on Earth a picture lies.
_PICTURE_TABLE = re.compile(rb'!table\s.*^[ \t]*Type[ \t]+"?RASTER', re.DOTALL | re.MULTILINE | re.IGNORECASE)

_GEOJSON_TYPES = frozenset(
    b"FeatureCollection Feature Point LineString Polygon MultiPoint MultiLineString MultiPolygon"
    b" GeometryCollection".split()
)
_LATE_TYPE = re.compile(rb'"type"\s*:\s*"(FeatureCollection|Feature|Topology)"')
#: A first feature that is GeoJSON; those of ArcGIS servers have a geometry too, of members x and y.
_FEATURES = re.compile(
    rb'"features"\s*:\s*\[\s*\{\s*"(?:type|properties|id|bbox'
    rb'|geometry"\s*:\s*(?:null\b|\{\s*"(?:type|coordinates|geometries|bbox|crs)))'
)
_TOKEN = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
_MEMBER = re.compile(rb'"([^"\\]*)"\s*:\s*(?:"([^"\\]*)")?')
#: GDAL reads JSON also as the argument of a function of these names.
_CALL = re.compile(rb"(?:loadGeoJSON|jsonp)\(\s*")
#: Before each record of a JSON text sequence (RFC 8142).
_RECORD_SEPARATOR = b"\x1e"
_BLANKS = b" \t\r\n"

_NOT_A_ROOT = re.compile(
    r"\A(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>)*", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")
_PAGE_TYPE = re.compile(r"\s*(?:<!--.*?-->\s*)*<!doctype\s+html", re.DOTALL | re.IGNORECASE)
_PAGE_ROOTS = frozenset(
    {"html", "head", "body", "title", "script", "style", "meta", "div", "center", "h1", "p"}
)
_GML_NAMESPACE = re.compile(r"""=\s*["']https?://www\.opengis\.net/gml(?:/3\.\d(?:\.\d+)?)?["']""")
#: Roots of documents about services and schemas, which use GML's namespace without holding features.
_NO_FEATURES = re.compile(r"Capabilities|Exception|schema|Report|Describe|metadata|record", re.IGNORECASE)


def sniff(path: Path) -> str | None:
    """The kind of a file: a name of ``formats.FORMATS``, ``ZIP``, ``GZIP``, ``PAGE``, or None for all else.

    Workbooks and KMZ files are a ``ZIP``: only their entries tell; a bare .shp is a Shapefile.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head.startswith(SQLITE_MAGIC):
        return "GeoPackage" if _is_geopackage(head) else None
    if _MAPINFO.match(head):
        return None if _PICTURE_TABLE.match(head) else "MapInfo"
    codec = charset.unicode_codec(head)
    text = _decoded(head, codec)
    start = text.lstrip(_BLANKS)[:1]
    if start in (b"{", _RECORD_SEPARATOR) or _CALL.match(text):
        return _json_kind(path, text.lstrip(_BLANKS), codec)
    words = text.decode("utf-8", "replace")
    if start == b"<":
        return _xml_kind(words)
    if len(head) == HEAD_BYTES and not delimited.CONTROL.search(words):
        with path.open("rb") as file:
            head = file.read(TABLE_BYTES)
        words = _decoded(head, codec).decode("utf-8", "replace")
    separator = delimited.separator(words, whole=len(head) == path.stat().st_size)
    return None if separator is None else "TSV" if separator == "\t" else "CSV"


def late_type(path: Path, *, is_sequence: bool) -> str | None:
    """The type of a JSON text's first object where GDAL does not see it; None where it does.

    Programs that sort members by their names write the type last.

    :param path: a text in UTF-8 that ``sniff`` knows
    """
    with path.open("rb") as file:
        text = file.read(HEAD_BYTES)
    start = text.find(b"{")
    members, end = _root_members(text[start:])
    early, _ = _root_members(text[start : start + EARLY_BYTES])
    is_seen = next(iter(members), b"") == b"type" if is_sequence else bool(early.get(b"type"))
    if is_seen or _FEATURES.search(text[:EARLY_BYTES]):
        return None
    name = members.get(b"type") or _late_type(path, text[start:], None, closed=end is not None)
    return name.decode("ascii", "replace") if name else None


def _is_geopackage(head: bytes) -> bool:
    return head[_ID_AT] in _GEOPACKAGE_IDS or b"gpkg_contents" in head


def _decoded(raw: bytes, codec: str | None) -> bytes:
    """The same text in UTF-8 without a mark at its start; unchanged if it is no Unicode of another kind."""
    if codec is None:
        return raw
    return raw.decode(codec, "replace").removeprefix("\ufeff").encode("utf-8", "replace")


def _json_kind(path: Path, text: bytes, codec: str | None) -> str | None:
    is_sequence = text.startswith(_RECORD_SEPARATOR)
    called = _CALL.match(text)
    text = text[called.end() :] if called else text.lstrip(_RECORD_SEPARATOR + _BLANKS)
    members, end = _root_members(text)
    root = members.get(b"type")
    if root is None:
        root = _late_type(path, text, codec, closed=end is not None)
    if root == b"Topology":
        return "TopoJSON"
    if root not in _GEOJSON_TYPES:
        return None
    if root != b"FeatureCollection" and not is_sequence:
        rest = text[end:] if end is not None else b"" if codec else _second_line(path)
        is_sequence = rest.lstrip(_BLANKS)[:1] in (b"{", _RECORD_SEPARATOR)
    return "GeoJSONSeq" if is_sequence else "GeoJSON"


def _root_members(text: bytes) -> tuple[dict[bytes, bytes], int | None]:
    """The members of the first object of a JSON text with their values, if these are texts, and where it ends."""
    depth = 0
    members: dict[bytes, bytes] = {}
    for token in _TOKEN.finditer(text):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return members, token.end()
        elif depth == 1 and (member := _MEMBER.match(text, token.start())):
            members.setdefault(member[1], member[2] or b"")
    return members, None


def _late_type(path: Path, text: bytes, codec: str | None, *, closed: bool) -> bytes | None:
    """The type of an object that does not begin with it."""
    if _FEATURES.search(text):
        return b"FeatureCollection"
    if closed:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        # Units of UTF-16 and UTF-32 begin at multiples of 2 and 4.
        file.seek(max(0, size - HEAD_BYTES) // 4 * 4)
        found = _LATE_TYPE.findall(_decoded(file.read(), codec))
    return found[-1] if found else None


def _second_line(path: Path) -> bytes:
    """The start of what follows the first line, if that line is an object or more; else nothing."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            line, end, rest = chunk.partition(b"\n")
            before = (before + line)[-8:].rstrip()
            if end and before:
                return rest + file.read(CHUNK_BYTES) if before.endswith(b"}") else b""
    return b""


def _xml_kind(text: str) -> str | None:
    if _PAGE_TYPE.match(text):
        return PAGE
    skipped = _NOT_A_ROOT.match(text)
    root = _ROOT.match(text, skipped.end() if skipped else 0)
    if root is None:
        return None
    name = root[1]
    if name in ("kml", "gpx"):
        return name.upper()
    if name.lower() in _PAGE_ROOTS:
        return PAGE
    if _GML_NAMESPACE.search(text) and not _NO_FEATURES.search(name):
        return "GML"
    return None
