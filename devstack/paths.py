"""Where things are and which ports they have; the same for every part of the stack."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The CKAN versions that the stack can run; the first one when none is named.
CKANS = ("2.12", "2.11")


def chosen_ckan() -> str:
    """HDXJOBS_DEV_CKAN, which `./dev VERB --ckan 2.11` sets."""
    version = os.environ.get("HDXJOBS_DEV_CKAN", CKANS[0])
    if version not in CKANS:
        raise SystemExit(f"--ckan takes one of: {', '.join(CKANS)}; not {version!r}")
    return version


CKAN = chosen_ckan()

# What the stacks of all CKAN versions share; each has its state in a folder of its own.
SHARED = ROOT / ".dev"


def state(ckan: str) -> Path:
    """The folder of a version's environment, servers, data and logs."""
    return SHARED if ckan == CKANS[0] else ROOT / f".dev-{ckan}"


DEV = state(CKAN)
VENV = DEV / "venv"
LOGS = DEV / "log"
RUN = DEV / "run"
HERE = Path(__file__).resolve().parent

CKAN_INI = DEV / "ckan.ini"
TEST_INI = DEV / "test.ini"

# Longest path of a Unix socket that Linux takes, less supervisor's own suffix for a temporary name.
LONGEST_SOCKET = 90

# Ports that need no root, and room for ten of each version.
LOWEST_PORT, HIGHEST_PORT = 1024, 65_500


@dataclass(frozen=True)
class Ports:
    """All on loopback, counted from HDXJOBS_DEV_PORT; ten a CKAN version."""

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

    @property
    def second_redis(self) -> int:
        return self.base + 5


PORT_FILE = SHARED / "port"
PORTS_A_VERSION = 10


def chosen_port() -> int:
    """HDXJOBS_DEV_PORT; without it the port that this checkout was started with, or 5000."""
    text = os.environ.get("HDXJOBS_DEV_PORT") or (PORT_FILE.read_text() if PORT_FILE.exists() else "5000")
    if not text.strip().isdecimal() or not LOWEST_PORT <= int(text) <= HIGHEST_PORT:
        raise SystemExit(
            f"HDXJOBS_DEV_PORT must be a number from {LOWEST_PORT} to {HIGHEST_PORT}, not {text!r}"
        )
    return int(text)


def ports(ckan: str) -> Ports:
    """The ports of a version's stack: it runs beside those of the others."""
    return Ports(chosen_port() + CKANS.index(ckan) * PORTS_A_VERSION)


PORTS = ports(CKAN)


def outside() -> Path:
    """A folder for this checkout that every user of the machine can reach.

    For what cannot live in .dev/: PostgreSQL's files when its user may not enter
    the checkout's parent folders, and a socket whose path would be too long.
    """
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"hdxjobs-{checkout}{DEV.name.removeprefix('.dev')}"


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
