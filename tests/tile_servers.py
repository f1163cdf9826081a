"""Tile servers of others, as ``./dev peers`` builds them: started beside a map database and asked for tiles."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
import requests

from devstack.own_site import free_port
from devstack.peers import MARTIN, Peer

#: Seconds in which a server starts, or hears of a new layer.
PATIENCE_S = 120

MARTIN_SETTINGS = """
listen_addresses: 127.0.0.1:{port}
postgres:
  connection_string: {dsn}
  reload_interval: 1s
  auto_publish:
    tables: false
    functions:
      from_schemas: [hdxjobs_public]
"""


class Running:
    """A tile server: where it lists layers, and where their tiles are."""

    def __init__(self, address: str, tile: str, catalogue: str) -> None:
        self._address, self._tile, self._catalogue = address, tile, catalogue
        self._session = requests.Session()
        self._session.trust_env = False

    def tile(self, layer_id: str) -> requests.Response:
        return self._session.get(self._address + self._tile.format(layer=f"layer_{layer_id}"), timeout=30)

    def layers(self) -> str:
        return self._session.get(self._address + self._catalogue, timeout=30).text

    def answers(self) -> bool:
        try:
            return bool(self.layers())
        except requests.ConnectionError:
            return False


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@contextmanager
def role(admin_dsn: str) -> Iterator[str]:
    """The map database as a tile server's own role sees it.

    :param admin_dsn: the map database as its administrator
    """
    parts = urlsplit(admin_dsn)
    name = f"{parts.path[1:]}_peer"
    admin = psycopg2.connect(admin_dsn)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {name}")
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE hdxjobs_public")
        yield urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}"))
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        cursor.execute(f"DROP ROLE {name}")
    admin.close()


@contextmanager
def running(peer: Peer, dsn: str, folder: Path) -> Iterator[Running]:
    """The server, started; the test is left out where it was not built."""
    if not peer.is_there:
        pytest.skip(f"{peer.name} {peer.version} is not there: ./dev peers builds it")
    port = free_port()
    command, environment, server = _command(peer, dsn, port, folder)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
        try:
            assert until(server.answers), (folder / "log").read_text()
            yield server
        finally:
            process.terminate()
            process.wait()


def _command(peer: Peer, dsn: str, port: int, folder: Path) -> tuple[list[str], dict[str, str], Running]:
    address = f"http://127.0.0.1:{port}"
    if peer is MARTIN:
        settings = folder / "martin.yaml"
        settings.write_text(MARTIN_SETTINGS.format(port=port, dsn=dsn))
        return (
            [str(peer.program), "--config", str(settings)],
            {},
            Running(address, "/{layer}/0/0/0", "/catalog"),
        )
    environment = {"DATABASE_URL": dsn, "TS_HTTPHOST": "127.0.0.1", "TS_HTTPPORT": str(port)}
    return (
        [str(peer.program)],
        environment,
        Running(address, "/hdxjobs_public.{layer}/0/0/0.pbf", "/index.json"),
    )
