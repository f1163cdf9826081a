"""Which files the caged process may open (Linux 5.13 and later, landlock(7)).

Works for any user and inside containers.  Needs the standard library alone: it is imported before
GDAL, by a process that has nothing else yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

# Numbers of the calls, the same on all processors.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE, _MAKE = 1 << 4 | 1 << 5, 1 << 7 | 1 << 8
_TRUNCATE = 1 << 14
#: Rights over a file; all others are over what a folder holds.
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | 1 << 15
#: Bits of rights over files that a version of Landlock knows; versions after the last know as many.
_BITS = (13, 14, 15, 15, 16)
#: Rights to bind and connect by TCP, from version 4 on.
_NETWORK_FROM, _NETWORK = 4, 0b11
#: Signals and abstract sockets of processes outside, from version 6 on.
_SCOPES_FROM, _SCOPES = 6, 0b11


def close(*, read: Iterable[str], write: Iterable[str], execute: Iterable[str] = ()) -> None:
    """Open nothing but these from now on; TCP and signals to others are off where the kernel can.

    A path stands for itself and all that is below it; one that does not exist is left out.

    :param read: files to read, folders to read and list
    :param write: the same, and to write to, make and remove plain files and folders in
    :param execute: programs to start
    :raises OSError: the kernel does not do that
    """
    version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    every = (1 << _BITS[min(version, len(_BITS)) - 1]) - 1
    attributes = struct.pack(
        "=QQQ",
        every,
        _NETWORK if version >= _NETWORK_FROM else 0,
        _SCOPES if version >= _SCOPES_FROM else 0,
    )
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for paths, rights in (
            (read, _READ | _LIST),
            (write, every & (_READ | _LIST | _WRITE | _TRUNCATE | _REMOVE | _MAKE)),
            (execute, _READ | _EXECUTE),
        ):
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    _allow(ruleset, path, rights)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(
        libc.syscall(
            number, *(ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments)
        )
    )
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
