"""Processes: who is whose child, and what a worker's children are."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: prctl's number for "orphans among my descendants become my children" (linux/prctl.h).
_PR_SET_CHILD_SUBREAPER = 36
#: Of a process's flags: it is on its way out (include/linux/sched.h).
_PF_EXITING = 0x4
#: Where they are in /proc/PID/stat, counted from the state on, and the signals that it has yet to see.
_FLAGS, _PENDING = 6, 28
_TO_BE_KILLED = 1 << (signal.SIGKILL - 1)


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
    """All that live.

    Left out are the dead whom nobody asked for, and those that the kernel has killed: they do nothing any more,
    however long it is until they get the time to end.
    """
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            told = _told(int(stat.parent.name))
            if told[0] not in "ZX" and not _is_killed(told):
                yield Process(int(stat.parent.name), int(told[1]), int(told[2]))


def _told(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_killed(told: list[str]) -> bool:
    return bool(int(told[_FLAGS]) & _PF_EXITING or int(told[_PENDING]) & _TO_BE_KILLED)


def freeze(process: Process) -> bool:
    """Stop it where it is; False: it ended before."""
    with suppress(OSError):
        os.kill(process.pid, signal.SIGSTOP)
        while is_alive(process):
            if _told(process.pid)[0] == "T":
                return True
            time.sleep(0.01)
    return False


def thaw(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)


def is_alive(process: Process) -> bool:
    return any(each.pid == process.pid for each in processes())


def is_there(pid: int) -> bool:
    """Whether it has not ended yet, or has not seen to what happens when it ends."""
    try:
        return _told(pid)[0] not in "ZX"
    except OSError:
        return False


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


def end_descendants() -> None:
    """Kill them, and wait until they are dead and have let go of their files."""
    with suppress(ChildProcessError):
        while True:
            for each in descendants():
                with suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if not ended:
                time.sleep(0.05)


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
    """Whether its time is limited, which is done after its life was bound to its parent's."""
    with suppress(OSError):
        return _time(pid) != _time(os.getpid())
    return False


def _time(pid: int) -> str:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next((line for line in limits if line.startswith("Max cpu time")), "")


def command(pid: int) -> str:
    """A process's command line, its beginning."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:500]
    return ""
