"""What a file is, by its first bytes; its name is not asked."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

#: Bytes that are looked at from the start, and for GeoJSON also from the end.
HEAD_BYTES = 64 * 1024

SHP_MAGIC = b"\x00\x00\x27\x0a"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

_GEOJSON = re.compile(
    rb'"type"\s*:\s*"(?:FeatureCollection|Feature|(?:Multi)?(?:Point|LineString|Polygon)|GeometryCollection)"'
    rb'|"features"\s*:\s*\[\s*\{\s*"(?:type|geometry|properties|id|bbox)"'
)
_NOT_A_ROOT = re.compile(
    r"\A(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>)*", re.DOTALL | re.IGNORECASE
)
_KML_ROOT = re.compile(r"<(?:[\w.-]+:)?kml[\s/>]")

_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def sniff(path: Path) -> str | None:
    """The kind of a file: "zip", "GeoJSON", "KML", "Shapefile" (a bare .shp), or ``None`` for all else."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - HEAD_BYTES))
        tail = file.read()
    if head.startswith(ZIP_MAGICS):
        return "zip"
    if head.startswith(SHP_MAGIC):
        return "Shapefile"
    codec = _UTF16.get(head[:2])
    if codec:
        head, tail = (part.decode(codec, "ignore").encode() for part in (head, tail))
    text = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n\xef\xbb\xbf")
    if text.startswith(b"{"):
        return "GeoJSON" if _GEOJSON.search(text) or _GEOJSON.search(tail) else None
    if text.startswith(b"<") and is_kml(text.decode("utf-8", "replace")):
        return "KML"
    return None


def is_kml(text: str) -> bool:
    """Whether the root element of an XML text is ``kml``."""
    skipped = _NOT_A_ROOT.match(text)
    return bool(_KML_ROOT.match(text, skipped.end() if skipped else 0))


def as_utf8(path: Path) -> None:
    """Rewrite a JSON file that is in UTF-16 as UTF-8, in place."""
    with path.open("rb") as file:
        codec = _UTF16.get(file.read(2))
    if codec is None:
        return
    copy = path.with_name(path.name + ".utf8")
    with (
        path.open(encoding="utf-16", errors="replace", newline="") as old,
        copy.open("w", encoding="utf-8", newline="") as new,
    ):
        while chunk := old.read(1024**2):
            new.write(chunk)
    copy.replace(path)


def missing_bytes(shp: Path) -> int:
    """Bytes that a Shapefile's .shp, .shx or .dbf lacks of the length its header states; 0 when whole."""
    with shp.open("rb") as file:
        head = file.read(100)
    size = shp.stat().st_size
    if shp.suffix == ".dbf":
        if len(head) < 32:
            return 32 - len(head)
        rows, header, row = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
        return max(0, header + rows * row - size)
    if len(head) < 100:
        return 100 - len(head)
    return max(0, 2 * int.from_bytes(head[24:28], "big") - size)
