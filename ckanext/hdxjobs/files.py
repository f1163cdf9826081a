"""The map page's own files (``public/hdxjobs``): their version, and their bytes ready to be sent.

CKAN serves public folders uncompressed and has browsers ask again each time: on a slow line that is
1.8 MB for the first map instead of 0.5 MB, and a round trip for each file ever after.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs import __version__

FOLDER = Path(__file__).parent / "public" / "hdxjobs"

#: The vendored library; the folder's name carries its version.
MAPLIBRE_FOLDER = "maplibre-gl-6.17.0"

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".txt": "text/plain",
}


@dataclass(frozen=True)
class File:
    """A file of the page.

    :ivar packed: the body compressed by gzip
    :ivar digest: the same for the same body, on any machine
    """

    body: bytes
    packed: bytes
    digest: str
    mimetype: str


def version() -> str:
    """Changes whenever one of our scripts does: part of their URLs, so that browsers may keep them."""
    newest = max(script.stat().st_mtime_ns for script in FOLDER.glob("*.js"))
    return f"{__version__}-{newest // 1_000_000_000:x}"


def find(name: str) -> File | None:
    """A file by its path below the folder, or None: there is no such file."""
    path = (FOLDER / name).resolve()
    if path.suffix not in _TYPES or not path.is_relative_to(FOLDER.resolve()) or not path.is_file():
        return None
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=128)
def _read(path: Path, _changed_ns: int) -> File:
    """All files together are 3 MB; each is read and compressed once a process, and again when it changes."""
    body = path.read_bytes()
    packed = gzip.compress(body, compresslevel=9, mtime=0)
    return File(body, packed, hashlib.sha256(body).hexdigest()[:32], _TYPES[path.suffix])
