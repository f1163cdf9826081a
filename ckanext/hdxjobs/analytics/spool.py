"""The last resort: files for events that neither the database nor Redis would take.

A file a process, a line a parcel, synced to the disk.  The sweep carries the lines into the outbox.
A lock on the file keeps the two apart; a writer that finds its file taken away opens a new one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg2

from ckanext.hdxjobs.analytics.outbox import Parcel, dumped, loaded

log = logging.getLogger(__name__)

PATTERN = "events-*.jsonl"

#: Parcels that are carried at a time.
PAGE = 500


class SpoolFullError(Exception):
    """The spool has reached its cap."""


def write(folder: Path, parcels: Sequence[Parcel], *, max_bytes: int) -> None:
    """Append parcels to this process's file.

    :param max_bytes: what all files of the folder may hold together
    :raises SpoolFullError: they hold that much
    :raises OSError: the disk does not take it
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = "".join(dumped([parcel]) + "\n" for parcel in parcels).encode()
    if size(folder) + len(lines) > max_bytes:
        raise SpoolFullError
    path = folder / f"events-{socket.gethostname()}-{os.getpid()}.jsonl"
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink == 0:
                continue  # carried away between our open and our lock
            _append(handle, lines)
            return
        finally:
            os.close(handle)


def _append(handle: int, lines: bytes) -> None:
    before = os.fstat(handle).st_size
    if os.write(handle, lines) != len(lines):
        # The disk is full: half a line would spoil the next one.
        os.ftruncate(handle, before)
        raise OSError("the disk took only a part")
    os.fsync(handle)


def size(folder: Path) -> int:
    """Bytes in the spool."""
    return sum(path.stat().st_size for path in folder.glob(PATTERN))


def carry(folder: Path, put: Callable[[Sequence[Parcel]], int]) -> int:
    """Give all spooled parcels to ``put`` and delete the files; how many there were.

    A file stays until all its lines are stored; lines stored twice are told apart by their event ids.
    """
    return sum(_carry_file(path, put) for path in sorted(folder.glob(PATTERN)))


def _carry_file(path: Path, put: Callable[[Sequence[Parcel]], int]) -> int:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0  # another sweep was quicker
    with os.fdopen(handle, "r", encoding="utf-8", errors="replace") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink == 0:
            return 0
        carried = 0
        page: list[Parcel] = []
        for line in lines:
            page.extend(_read(line, path))
            if len(page) >= PAGE:
                carried += _put(page, put, path)
                page = []
        if page:
            carried += _put(page, put, path)
        path.unlink()
    return carried


def _put(page: list[Parcel], put: Callable[[Sequence[Parcel]], int], path: Path) -> int:
    """Store a page; what the database can never hold must not keep the rest from it."""
    try:
        put(page)
    except psycopg2.DataError as error:
        if len(page) > 1:
            return sum(_put([parcel], put, path) for parcel in page)
        log.error(
            "An event of %s is lost: the outbox can never hold it (%s)", path.name, type(error).__name__
        )
        return 0
    return len(page)


def _read(line: str, path: Path) -> list[Parcel]:
    try:
        return loaded(line)
    except (ValueError, TypeError, KeyError):
        # The end of a file whose disk was full, or whose process was killed while it wrote.
        log.error("A line of %s is damaged; the event in it is lost", path.name)
        return []
