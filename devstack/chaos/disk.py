"""A disk of its own for the map database, which can be full without harm to anybody else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import postgres
from devstack.paths import outside

SIZE = "2g"


def folder() -> Path:
    """Where PostgreSQL's user can come in."""
    return outside() / "chaos-disk"


def mount() -> bool:
    """In memory, so that it costs what is on it; False: that needs root, and the right to mount."""
    if os.geteuid() != 0:
        return False
    folder().mkdir(parents=True, exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs"):
        return False
    shutil.chown(folder(), postgres.SYSTEM_USER, postgres.SYSTEM_USER)
    return True


@contextmanager
def full() -> Iterator[None]:
    """As large as what is on it, and no larger."""
    here = os.statvfs(folder())
    _mount("-o", f"remount,size={(here.f_blocks - here.f_bfree) * here.f_frsize}")
    try:
        yield
    finally:
        _mount("-o", f"remount,size={SIZE}")


def unmount() -> None:
    if folder().is_mount():
        subprocess.run(["umount", str(folder())], check=True)
    if folder().exists():
        folder().rmdir()


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words, str(folder())], check=False, capture_output=True).returncode == 0
