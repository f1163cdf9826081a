"""Redis: an instance of our own that survives a restart, and one for the second process of the tests."""

from __future__ import annotations

import shlex
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from devstack.paths import DEV, PORTS


@dataclass(frozen=True)
class Server:
    """An instance and where its files are."""

    port: int
    folder: Path

    def command(self) -> str:
        """What the process manager starts."""
        program = shutil.which("redis-server") or "redis-server"
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "save": "",
        }
        words = (word for name, value in settings.items() for word in (f"--{name}", value))
        return shlex.join([program, *words])

    def url(self, number: int) -> str:
        """The URL of one of its numbered databases."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def answers(self) -> bool:
        """Whether the server takes commands (while it loads its file, it does not)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


MAIN = Server(PORTS.redis, DEV / "redis")
SECOND = Server(PORTS.second_redis, DEV / "redis-2")


def prepare() -> None:
    """Make their folders."""
    for server in (MAIN, SECOND):
        server.folder.mkdir(parents=True, exist_ok=True)


def remove() -> None:
    """Delete the data."""
    for server in (MAIN, SECOND):
        shutil.rmtree(server.folder, ignore_errors=True)
