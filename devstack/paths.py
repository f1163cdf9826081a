"""Where things are and which ports they have; the same for every part of the stack."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / ".dev"
VENV = DEV / "venv"
LOGS = DEV / "log"
RUN = DEV / "run"
HERE = Path(__file__).resolve().parent

CKAN_INI = DEV / "ckan.ini"
TEST_INI = DEV / "test.ini"

# Longest path of a Unix socket that Linux takes, less supervisor's own suffix for a temporary name.
LONGEST_SOCKET = 90


@dataclass(frozen=True)
class Ports:
    """All on loopback, counted from HDXJOBS_DEV_PORT."""

    base: int

    @property
    def ckan(self) -> int:
        return self.base

    @property
    def solr(self) -> int:
        return self.base + 1

    @property
    def postgres(self) -> int:
        return self.base + 2

    @property
    def redis(self) -> int:
        return self.base + 3

    @property
    def fake_sinks(self) -> int:
        return self.base + 4


PORTS = Ports(int(os.environ.get("HDXJOBS_DEV_PORT") or 5000))


def outside() -> Path:
    """A folder for this checkout that every user of the machine can reach.

    For what cannot live in .dev/: PostgreSQL's files when its user may not enter
    the checkout's parent folders, and a socket whose path would be too long.
    """
    return Path("/var/tmp") / f"hdxjobs-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


def supervisor_socket() -> Path:
    """The socket on which the process manager takes orders."""
    inside = RUN / "supervisor.sock"
    return inside if len(str(inside)) <= LONGEST_SOCKET else outside() / "supervisor.sock"


def make_folders() -> None:
    """Make the folders that every part counts on."""
    for folder in (LOGS, RUN, supervisor_socket().parent):
        folder.mkdir(parents=True, exist_ok=True)


def write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file only if its text differs: a newer file makes its server restart."""
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.touch(mode=mode)
    unfinished.write_text(text)
    unfinished.replace(file)
