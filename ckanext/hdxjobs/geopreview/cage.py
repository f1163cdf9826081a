"""The cage of a process that reads what strangers made: limits, and walls of the kernel's.

Each wall is put up where the kernel allows it, and it is told which ones stand.  None can be taken down
again, also not by a program that takes the process' place.  Needs the standard library alone, and a process
without threads: it is imported before GDAL.
"""

from __future__ import annotations

import ctypes
import glob
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs.geopreview import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

#: Seconds between the signal that tells of the limit of CPU time and the one that nobody survives.
_LAST_SECONDS = 2

#: What libraries, time zones and projections need of the system; nothing with a secret.
SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/gdal",
    "/usr/share/proj",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
)
#: Where the loaders are that start a program.
LOADERS = ("/lib/ld-*.so*", "/lib64/ld-*.so*")

#: What a wall that stands is told as; otherwise it is told why it does not.
ON = "on"
OFF = "switched off"


@dataclass(frozen=True)
class Cage:
    """What a process may use.

    :ivar folder: the only place where it may write
    :ivar memory_bytes: of address space
    :ivar cpu_s: seconds of CPU time; then SIGXCPU
    :ivar file_bytes: that a file it writes may have
    :ivar walls: whether the kernel's walls are wanted, or only limits
    :ivar program: what takes the process' place afterwards, if anything does
    """

    folder: str
    memory_bytes: int
    cpu_s: int
    file_bytes: int
    open_files: int
    walls: bool = True
    program: str | None = None


def close(cage: Cage, *, parent_pid: int) -> dict[str, str]:
    """Go into the cage; the process dies with its parent from now on.

    :returns: wall -> ``ON``, or why it does not stand: "network" (a network of its own, without any
        device), "privileges" (no program gives it more rights), "files" (it opens only what it needs),
        "calls" (no sockets, no new processes)
    """
    said = {"network": _try(_leave_network, wanted=cage.walls)}
    # After the walls that change who the process is, because the kernel forgets this wish then.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)
    _limit(cage)
    said["privileges"] = _try(lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1), wanted=cage.walls)
    said["files"] = _try(lambda: _close_files(cage), wanted=cage.walls)
    said["calls"] = _try(lambda: seccomp.close(may_execute=cage.program is not None), wanted=cage.walls)
    return said


def is_offline(said: dict[str, str]) -> bool:
    """Whether the process can reach nobody: by a network of its own, or because it can make no socket."""
    return ON in (said["network"], said["calls"])


def _try(wall: Callable[[], None], *, wanted: bool) -> str:
    if not wanted:
        return OFF
    try:
        wall()
    except OSError as error:
        return f"not possible here: {error.strerror}"
    return ON


def _leave_network() -> None:
    """A network without devices; its owner is nobody outside, so it cannot be left again."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) and libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    rest = (ctypes.c_ulong(0),) * 3
    if libc.prctl(option, ctypes.c_ulong(value), *rest):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _limit(cage: Cage) -> None:
    for what, most in (
        (resource.RLIMIT_AS, cage.memory_bytes),
        (resource.RLIMIT_FSIZE, cage.file_bytes),
        (resource.RLIMIT_NOFILE, cage.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _set_limit(what, most, most)
    _set_limit(resource.RLIMIT_CPU, cage.cpu_s, cage.cpu_s + _LAST_SECONDS)


def _set_limit(what: int, soft: int, hard: int) -> None:
    """Never above what the system itself allows."""
    _, highest = resource.getrlimit(what)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(what, (soft, hard))


def _close_files(cage: Cage) -> None:
    package = Path(__file__).resolve().parents[1]
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    read = [*SYSTEM, sys.prefix, sys.base_prefix, *libraries, str(package)]
    execute: list[str] = []
    if cage.program is not None:
        read.append(str(Path(cage.program).resolve().parents[1]))
        execute = [cage.program, *(loader for pattern in LOADERS for loader in glob.glob(pattern))]
    landlock.close(read=read, write=[cage.folder, "/dev/null"], execute=execute)
