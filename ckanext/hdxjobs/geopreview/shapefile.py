"""The parts of a Shapefile: whether one is whole, and the index that can be made again."""

from __future__ import annotations

import struct
from pathlib import Path

from ckanext.hdxjobs.errors import N_, DetectError

#: Bytes of the header that .shp and .shx share.
HEADER_BYTES = 100
#: Number of a record and its length in words of two bytes, before each shape.
_RECORD = struct.Struct(">ii")
#: A shape begins with its type, so none is shorter.
MIN_SHAPE_WORDS = 2


def missing_bytes(part: Path) -> int:
    """Bytes that a Shapefile's .shp, .shx or .dbf lacks of the length its header states; 0 when whole."""
    with part.open("rb") as file:
        head = file.read(HEADER_BYTES)
    size = part.stat().st_size
    if part.suffix == ".dbf":
        if len(head) < 32:
            return 32 - len(head)
        rows, header, row = (int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
        return max(0, header + rows * row - size)
    if len(head) < HEADER_BYTES:
        return HEADER_BYTES - len(head)
    return max(0, 2 * int.from_bytes(head[24:28], "big") - size)


def write_index(shp: Path, shx: Path) -> None:
    """Make a .shx file: where each record of the .shp begins and how long it is.

    :raises DetectError: unreadable; the records do not follow one another
    """
    size = shp.stat().st_size
    with shp.open("rb") as shapes, shx.open("xb") as index:
        header = shapes.read(HEADER_BYTES)
        index.write(header)
        place = HEADER_BYTES
        while place + _RECORD.size <= size:
            shapes.seek(place)
            _, words = _RECORD.unpack(shapes.read(_RECORD.size))
            following = place + _RECORD.size + 2 * words
            if words < MIN_SHAPE_WORDS or following > size:
                reason = N_("its .shx file is missing, and the .shp file is broken at byte {place}")
                raise DetectError("unreadable", format="Shapefile", reason=reason, place=place)
            index.write(_RECORD.pack(place // 2, words))
            place = following
        index_bytes = index.tell()
        index.seek(24)
        index.write(struct.pack(">i", index_bytes // 2))
