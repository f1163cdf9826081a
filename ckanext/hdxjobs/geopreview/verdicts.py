"""What the failures of others mean, judged by what they said: the parser's libraries, and PostgreSQL."""

from __future__ import annotations

import re

from ckanext.hdxjobs.errors import DetectError, PreviewError
from ckanext.hdxjobs.geopreview.rules import size_text

#: Python, C++, GDAL, Arrow, libc and the dynamic linker, when an allocation fails.
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|bad_alloc|out of memory|cannot allocate|unable to allocate|memory allocation|"
    r"failed to allocate|[mc]alloc of size|realloc of size|failed to map segment",
    re.IGNORECASE,
)
#: Bytes of address space that the parser's libraries map and never touch, and so no resident memory; measured.
_MAPPED_BYTES = 384 * 1024**2
#: How near to its limit a process is that died for want of memory: what it asked for last, it never got.
_NEARLY = 0.95
#: PostgreSQL: disk_full.
_DISK_FULL = "53100"
_PLACE = re.compile(r"COPY \S+, line (\d+)(?:, column (\w+))?")


def ran_out_of_memory(said: str) -> bool:
    """Whether a library's last words are that it got no more memory."""
    return _OUT_OF_MEMORY.search(said) is not None


def refusal(told: PreviewError, *, limit_bytes: int) -> PreviewError:
    """Why the parser refused a file: as it told, or for want of memory.

    :param limit_bytes: of its address space
    """
    return _starved(limit_bytes) if ran_out_of_memory(str(told)) else told


def breakdown(said: str, *, format_: str, peak_bytes: int, limit_bytes: int) -> PreviewError:
    """Why the parser broke down.

    GDAL does not look at each allocation that fails: then it says nothing and dies of SIGSEGV.

    :param said: its last words
    :param peak_bytes: the most resident memory it had; 0: nobody knows
    :param limit_bytes: of its address space
    """
    was_full = peak_bytes > 0 and peak_bytes + _MAPPED_BYTES > _NEARLY * limit_bytes
    if was_full or ran_out_of_memory(said):
        return _starved(limit_bytes)
    return DetectError("reader-crashed", format=format_)


def _starved(limit_bytes: int) -> DetectError:
    return DetectError("too-much-memory", limit=size_text(limit_bytes))


def database_code(sqlstate: str | None) -> str:
    """The code of a failure when the database, not the data, is at fault."""
    return "disk-full" if sqlstate == _DISK_FULL else "database-unavailable"


def place_in_copy(context: str | None) -> tuple[int, str]:
    """The row, from 1, and the column that PostgreSQL was reading by COPY; 0 and "" where it does not say."""
    found = _PLACE.search(context or "")
    return (int(found[1]), found[2] or "") if found else (0, "")
