"""A job's own folder for what it downloads and unpacks.

It is locked as long as the job lives, and the kernel lets go of the lock whatever way the job ends: so
the sweep knows at once which folders a killed job left behind.  A disk that is full is told as such,
whoever meets it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckanext.hdxjobs.errors import FetchError

PREFIX = "hdxjobs-"

#: Bytes that a download leaves free for everybody else on the disk.
SPARE_BYTES = 64 * 1024**2


@contextmanager
def made(parent: Path) -> Iterator[Path]:
    """A new folder, readable by nobody else; gone at the end.

    :raises FetchError: code "disk-full", from whatever could not be written inside
    """
    with _told_when_full(), _folder(parent) as folder:
        yield folder


def require_room(folder: Path, byte_count: int) -> None:
    """Refuse to begin what cannot end well.

    :raises FetchError: code "disk-full"
    """
    if shutil.disk_usage(folder).free < byte_count + SPARE_BYTES:
        raise FetchError("disk-full")


@contextmanager
def _told_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError("disk-full") from error
        raise


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Shared, because network file systems give no other lock to readers; some give none.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def drop_left(parent: Path, *, older_than_s: float, young_s: float) -> int:
    """Remove the folders of jobs that were killed; how many.

    :param older_than_s: where the file system knows no locks: no living job is that old
    :param young_s: a folder of this age may be there and not locked yet
    """
    dropped = 0
    for folder in parent.glob(PREFIX + "*"):
        if _is_left(folder, older_than_s=older_than_s, young_s=young_s):
            shutil.rmtree(folder, ignore_errors=True)
            dropped += not folder.exists()
    return dropped


def _is_left(folder: Path, *, older_than_s: float, young_s: float) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        # Gone meanwhile, or another user's.
        return False
    try:
        age_s = time.time() - os.fstat(lock).st_ctime
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return age_s > older_than_s
        return age_s > young_s
    finally:
        os.close(lock)
