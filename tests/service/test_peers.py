"""Tile servers of others publish shared layers by themselves: the real ones, as ``./dev peers`` builds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from makers import towns
from tile_servers import Running, role, running, until

from ckanext.hdxjobs.geopreview import publish
from devstack.peers import MARTIN, PG_TILESERV


@pytest.fixture(scope="module")
def server_dsn(geo: Any) -> Iterator[str]:
    with role(geo.admin) as dsn:
        yield dsn


@pytest.fixture(scope="module", params=[MARTIN, PG_TILESERV], ids=lambda peer: peer.name)
def server(
    request: pytest.FixtureRequest, server_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with running(request.param, server_dsn, tmp_path_factory.mktemp(request.param.name)) as started:
        yield started


def test_a_layer_that_is_shared_is_published_without_a_restart(
    geo: Any, imported: Any, server: Running
) -> None:
    result = imported(towns())
    tile_set = result.tile_sets[0]
    publish.share(resource_id=tile_set.resource_id, shared=True, dsn=geo.loader)
    assert until(lambda: server.tile(tile_set.layer_id).status_code == 200)
    assert until(lambda: tile_set.layer_id in server.layers())
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
    assert until(lambda: tile_set.layer_id not in server.layers())


def test_nothing_but_shared_layers_is_listed(geo: Any, server: Running) -> None:
    assert "hdxjobs.layer" not in server.layers()
    assert "tile_v" not in server.layers()
