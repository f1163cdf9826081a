"""Redis: an instance of our own that survives a restart."""

from __future__ import annotations

import shlex
import shutil
import socket

from devstack.paths import DEV, PORTS

FOLDER = DEV / "redis"


def command() -> str:
    """What the process manager starts."""
    program = shutil.which("redis-server") or "redis-server"
    settings = {
        "bind": "127.0.0.1",
        "port": str(PORTS.redis),
        "dir": str(FOLDER),
        "appendonly": "yes",
        "save": "",
    }
    return shlex.join([program, *(word for name, value in settings.items() for word in (f"--{name}", value))])


def prepare() -> None:
    """Make its folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)


def url(number: int) -> str:
    """The URL of one of its numbered databases."""
    return f"redis://127.0.0.1:{PORTS.redis}/{number}"


def answers() -> bool:
    """Whether the server takes commands (while it loads its file, it does not)."""
    try:
        with socket.create_connection(("127.0.0.1", PORTS.redis), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def remove() -> None:
    """Delete the data."""
    shutil.rmtree(FOLDER, ignore_errors=True)
