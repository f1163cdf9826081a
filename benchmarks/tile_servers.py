"""Tile servers as they are run: Martin and tipg of ``./dev peers``, on the benchmark's own database."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from devstack import peers
from devstack.own_site import free_port, until

#: Where ogr2ogr puts the tables that servers publish.
SCHEMA = "peers"

_MARTIN = """
listen_addresses: 127.0.0.1:{port}
cache_size_mb: 0
postgres:
  connection_string: {dsn}
  auto_bounds: skip
  auto_publish:
    tables:
      from_schemas: [{schema}]
    functions:
      from_schemas: [hdxjobs_public]
"""
#: More than any tile has: without it tipg sends any 10,000 features.
_EVERYTHING = 10**9


class Server:
    """A running server: addresses of the tiles of a table, or of a function of ours."""

    def __init__(self, name: str, address: str, table: str, function: str = "") -> None:
        self.name = name
        self._address, self._table, self._function = address, table, function

    def table_url(self, table: str) -> str:
        return self._address + self._table.format(table=f"{table}")

    def function_url(self, layer_id: str) -> str:
        return self._address + self._function.format(layer=f"layer_{layer_id}")

    def answers(self) -> bool:
        session = requests.Session()
        session.trust_env = False
        try:
            return session.get(self._address + "/health" * (self.name == "martin"), timeout=5).ok
        except requests.RequestException:
            return False


@contextmanager
def martin(dsn: str) -> Iterator[Server]:
    """Without its memory, so that each tile is made."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "martin.yaml"
        settings.write_text(_MARTIN.format(port=port, dsn=dsn, schema=SCHEMA))
        command = [str(peers.MARTIN.program), "--config", str(settings)]
        places = ("/{table}/{{z}}/{{x}}/{{y}}", "/{layer}/{{z}}/{{x}}/{{y}}")
        with _running(command, {}, Server("martin", f"http://127.0.0.1:{port}", *places)) as server:
            yield server


@contextmanager
def tipg(dsn: str) -> Iterator[Server]:
    """With all features of a tile, as the others send them."""
    port = free_port()
    settings = {
        "DATABASE_URL": dsn,
        "TIPG_DB_SCHEMAS": f'["{SCHEMA}"]',
        "TIPG_MAX_FEATURES_PER_TILE": str(_EVERYTHING),
    }
    command = [str(peers.TIPG.program), "tipg.main:app", "--port", str(port), "--log-level", "warning"]
    place = f"/collections/{SCHEMA}.{{table}}/tiles/WebMercatorQuad/{{{{z}}}}/{{{{x}}}}/{{{{y}}}}"
    with _running(command, settings, Server("tipg", f"http://127.0.0.1:{port}", place)) as server:
        yield server


@contextmanager
def _running(command: list[str], settings: dict[str, str], server: Server) -> Iterator[Server]:
    process = subprocess.Popen(
        command, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(server.answers)
        yield server
    finally:
        process.kill()
        process.wait()
