"""Tile servers of others publish shared layers by themselves: the real ones, as ``./dev peers`` builds them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
import requests
from makers import towns

from ckanext.hdxjobs.geopreview import publish
from devstack.peers import MARTIN, PG_TILESERV, Peer

#: Seconds in which a server starts, or hears of a new layer.
PATIENCE_S = 30

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


@pytest.fixture(scope="module")
def server_dsn(geo: Any) -> Iterator[str]:
    """The map database as a tile server's own role sees it."""
    parts = urlsplit(geo.admin)
    role = f"{parts.path[1:]}_peer"
    admin = psycopg2.connect(geo.admin)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE hdxjobs_public")
        yield urlunsplit(parts._replace(netloc=f"{role}:secret@{parts.netloc.rpartition('@')[2]}"))
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
        cursor.execute(f"DROP ROLE {role}")
    admin.close()


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


@pytest.fixture(scope="module", params=[MARTIN, PG_TILESERV], ids=lambda peer: peer.name)
def server(
    request: pytest.FixtureRequest, server_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    peer: Peer = request.param
    if not peer.is_there:
        pytest.skip(f"{peer.name} {peer.version} is not there: ./dev peers builds it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp(peer.name)
    command, environment, running = _command(peer, server_dsn, port, folder)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    assert until(running.answers), (folder / "log").read_text()
    yield running
    process.terminate()
    process.wait()


def test_a_layer_that_is_shared_is_published_without_a_restart(
    geo: Any, imported: Any, server: Running
) -> None:
    result = imported(towns())
    tile_set = result.tile_sets[0]
    publish.share(resource_id=tile_set.resource_id, shared=True, dsn=geo.loader)
    assert until(lambda: server.tile(tile_set.layer_id).status_code == 200)
    assert tile_set.layer_id in server.layers()
    ours = result.tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)
    assert server.tile(tile_set.layer_id).content == ours.body


def test_a_layer_that_is_not_shared_is_not_there(imported: Any, server: Running) -> None:
    layer_id = imported(towns()).tile_sets[0].layer_id
    answer = server.tile(layer_id)
    assert answer.status_code >= 400
    assert not answer.content.startswith(b"\x1a")
    assert layer_id not in server.layers()


def test_a_layer_that_is_taken_back_gives_no_tile(geo: Any, imported: Any, server: Running) -> None:
    tile_set = imported(towns()).tile_sets[0]
    publish.share(resource_id=tile_set.resource_id, shared=True, dsn=geo.loader)
    assert until(lambda: tile_set.layer_id in server.layers())
    publish.share(resource_id=tile_set.resource_id, shared=False, dsn=geo.loader)
    assert server.tile(tile_set.layer_id).status_code >= 400


def test_tiles_that_a_server_kept_are_gone_when_it_next_looks(
    geo: Any, imported: Any, server: Running
) -> None:
    tile_set = imported(towns()).tile_sets[0]
    publish.share(resource_id=tile_set.resource_id, shared=True, dsn=geo.loader)
    assert until(lambda: server.tile(tile_set.layer_id).status_code == 200)
    publish.share(resource_id=tile_set.resource_id, shared=False, dsn=geo.loader)
    assert until(lambda: server.tile(tile_set.layer_id).status_code >= 400)
    assert tile_set.layer_id not in server.layers()


def test_nothing_but_shared_layers_is_listed(geo: Any, server: Running) -> None:
    assert "hdxjobs.layer" not in server.layers()
    assert "tile_v" not in server.layers()
