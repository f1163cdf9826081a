"""Which system calls the caged process may not make (Linux, seccomp(2)).

Works for any user and inside containers.  Needs the standard library alone: it is imported before
GDAL, by a process that has nothing else yet.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

_SET_MODE_FILTER = 1
#: Keeps the kernel from switching off the processor's guesses, which older ones do for filtered processes.
_FLAG_SPEC_ALLOW = 1 << 2

#: Offsets in struct seccomp_data: number of the call, architecture, first argument (low half).
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
#: On x86-64, calls from here on are those of the x32 ABI: the same ones under other numbers.
_X32 = 0x40000000

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERROR = 0x00050000
_EPERM, _ENOSYS = 1, 38

# BPF: load a word; jump if equal, if at least, if a bit is set; return.
_LOAD, _EQUAL, _AT_LEAST, _BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


@dataclass(frozen=True)
class _Machine:
    """Numbers of a processor's calls (asm/unistd.h) and of its architecture (linux/audit.h)."""

    architecture: int
    seccomp: int
    clone: int
    execute: tuple[int, ...]
    others: tuple[int, ...]
    own: tuple[int, ...]
    x32: bool = False


#: Numbers that all processors share: pidfd_send_signal, io_uring_setup (a way round this filter), pidfd_open,
#: pidfd_getfd.
_COMMON = (424, 425, 434, 438)
_CLONE3 = 435
# others: socket, socketpair, connect; ptrace, process_vm_readv, process_vm_writev; kill, tkill,
# rt_sigqueueinfo, rt_tgsigqueueinfo; unshare, setns, mount; bpf, userfaultfd, perf_event_open; add_key,
# request_key, keyctl; on x86-64 also fork, vfork.
# own: tgkill, with which abort(3) ends a process, and prlimit64, with which it asks for its limits.
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        317,
        56,
        (59, 322),
        (41, 53, 42, 101, 310, 311, 62, 200, 129, 297, 272, 308, 165, 321, 323, 298, 248, 249, 250, 57, 58),
        (234, 302),
        x32=True,
    ),
    "aarch64": _Machine(
        0xC00000B7,
        277,
        220,
        (221, 281),
        (198, 199, 203, 117, 270, 271, 129, 130, 138, 240, 97, 268, 40, 280, 282, 241, 217, 218, 219),
        (131, 261),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def close(*, may_execute: bool) -> None:
    """No sockets, no new processes, no look into others, from now on and for all that comes after.

    Such a call fails with EPERM.  Threads may be started.

    Only itself may it signal or limit, under the number that it has now.

    :param may_execute: another program is still to take this process' place
    :raises OSError: the kernel does not do that, or the processor is not known
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(_ENOSYS, os.strerror(_ENOSYS))
    code = _code(machine, may_execute=may_execute, pid=os.getpid())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _FLAG_SPEC_ALLOW, ctypes.byref(program)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _code(machine: _Machine, *, may_execute: bool, pid: int) -> bytes:
    refused = machine.others + _COMMON + (() if may_execute else machine.execute)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine.x32:
        steps += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERROR | _EPERM)]
    for number in refused:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | _EPERM)]
    for number in machine.own:
        steps += [
            (_EQUAL, 0, 5, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 2, 0, pid),
            (_EQUAL, 1, 0, 0),  # to prlimit64 zero is the caller
            (_RETURN, 0, 0, _ERROR | _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps += [
        # Its flags are behind a pointer, which a filter cannot follow; the C library then takes clone.
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERROR | _ENOSYS),
        (_EQUAL, 0, 3, machine.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
