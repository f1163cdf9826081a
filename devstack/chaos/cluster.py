"""A PostgreSQL of its own, with both of the site's databases, which can be stopped as a whole."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from devstack import postgres
from devstack.paths import outside

#: As somebody who loses patience, or power, stops it; and as a package's upgrade does.
IMMEDIATE, FAST = signal.SIGQUIT, signal.SIGINT
#: Its processes end, the machine does not: what was written is with the kernel.
SETTINGS = {"fsync": "off", "shared_buffers": "64MB"}
STOPPING_S = 60


def folder() -> Path:
    """Where PostgreSQL's user can come in."""
    return outside() / "chaos-postgres"


def make() -> None:
    folder().parent.mkdir(parents=True, exist_ok=True)
    postgres.make_cluster(folder())


def command(port: int) -> list[str]:
    return postgres.server(folder(), port, **SETTINGS)


def remove() -> None:
    """Gone, with the server that a killed run left."""
    with suppress(OSError, ValueError):
        _end(int((folder() / "postmaster.pid").read_text().split()[0]))
    shutil.rmtree(folder(), ignore_errors=True)


def _end(pid: int) -> None:
    # The number may be another server's by now.
    if Path(f"/proc/{pid}/cwd").readlink() != folder().resolve():
        return
    os.kill(pid, IMMEDIATE)
    end = time.monotonic() + STOPPING_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
