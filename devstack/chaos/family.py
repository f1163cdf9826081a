"""Processes: who is whose child, and what a worker's children are."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: prctl's number for "orphans among my descendants become my children" (linux/prctl.h).
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Process:
    """:ivar group: the number of its process group, which is a work horse's own."""

    pid: int
    parent: int
    group: int


def adopt_orphans() -> None:
    """What outlives its parent becomes a child of this process, so that it can be seen and ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def processes() -> Iterator[Process]:
    """All that live; the dead whom nobody asked for are left out."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            state, parent, group = stat.read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                yield Process(int(stat.parent.name), int(parent), int(group))


def is_alive(process: Process) -> bool:
    return any(each.pid == process.pid for each in processes())


def children(parents: Iterable[int]) -> list[Process]:
    wanted = set(parents)
    return [each for each in processes() if each.parent in wanted]


def horses(workers: Iterable[int]) -> list[Process]:
    """Processes that do a job; RQ's scheduler stays in its worker's group."""
    return [each for each in children(workers) if each.group == each.pid]


def descendants() -> list[Process]:
    """This process's children and all of theirs."""
    found: list[Process] = []
    family = {os.getpid()}
    everybody = list(processes())
    while more := [each for each in everybody if each.parent in family and each.pid not in family]:
        found += more
        family |= {each.pid for each in more}
    return found


def has_open(pid: int, folder: Path) -> bool:
    """Whether a process holds something inside a folder open."""
    with suppress(OSError):  # gone meanwhile
        return any(folder in file.readlink().parents for file in Path(f"/proc/{pid}/fd").iterdir())
    return False


def has_begun(pid: int, folder: Path) -> bool:
    """Whether a work horse or a reader is at work: until then it has not yet bound its life to its parent's.

    The horse has a folder of its own inside this one then, and the reader, whose place that is, is in its cage.
    """
    with suppress(OSError):  # gone meanwhile
        is_reader = folder in Path(f"/proc/{pid}/cwd").readlink().parents
        return is_caged(pid) if is_reader else has_open(pid, folder)
    return False


def is_caged(pid: int) -> bool:
    """Whether it can get no more rights, which is done after its life was bound to its parent's."""
    with suppress(OSError):
        return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    return False


def command(pid: int) -> str:
    """A process's command line, its beginning."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:500]
    return ""
