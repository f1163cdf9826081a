"""Two hundred visitors ask a real web server for the heaviest tiles there are, none of which is stored.

Promise 24 of the design; how quick pages are meanwhile is measured by ``./dev bench tiles``.
"""

from __future__ import annotations

import io
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import makers
import psycopg2
import pytest
import requests
from ckan import model
from ckan.tests import factories
from layer_paths import tile_path
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs.geopreview import job, tiles
from devstack.fakes import client
from devstack.own_site import Site

VISITORS, THREADS = 200, 32
COUNT = 20_000
CONNECTED = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass
class Rush:
    """What came of it.

    :ivar tiles: how often each status
    :ivar connections: how many to the map database, at each look
    """

    tiles: Counter[int] = field(default_factory=Counter)
    pages: Counter[int] = field(default_factory=Counter)
    connections: list[int] = field(default_factory=list)


@pytest.fixture
def heavy(site: None, call: Any) -> dict[str, Any]:
    """A public layer of many points."""
    package = factories.Dataset(owner_org=factories.Organization()["id"])
    points = (makers.point(number % 359 - 179, number // 359 % 140 - 70) for number in range(COUNT))
    many = makers.geojson(*(makers.feature(point, rank=rank) for rank, point in enumerate(points)))
    upload = FileStorage(io.BytesIO(many), filename="many.geojson")
    resource = call("resource_create", package_id=package["id"], upload=upload)
    job.run_preview(resource["id"], 1)
    (layer,) = call("hdx_geopreview_status", id=resource["id"])["layers"]
    model.Session.remove()
    found: dict[str, Any] = layer | {"dataset": package["name"]}
    return found


@pytest.fixture
def portal(site: None, tmp_path: Path) -> Iterator[Site]:
    options = {"ckanext.hdxjobs.analytics.enabled": "false", "ckanext.hdxjobs.postgis.statement_timeout_s": 5}
    made = Site(
        tmp_path,
        client.Fake(client.URL),
        base_ini=Path(os.environ["HDXJOBS_TEST_INI"]),
        options=options,
    )
    made.start_redis()
    made.start_web(threads=THREADS)
    yield made
    made.stop()


@pytest.fixture
def rush(heavy: dict[str, Any], portal: Site, geo_admin_url: str) -> Rush:
    """Each tile is filtered in its own way, so that no memory and no table has it."""
    found = Rush()

    def visit(number: int) -> int:
        asked = {"filter": f"rank <> {number}"}
        return requests.get(portal.url + tile_path(heavy), params=asked, timeout=120).status_code

    def turn_pages(over: threading.Event) -> list[int]:
        with requests.Session() as session:
            page = f"{portal.url}/dataset/{heavy['dataset']}"
            return [session.get(page, timeout=120).status_code for _ in iter(over.is_set, True)]

    over = threading.Event()
    with psycopg2.connect(geo_admin_url) as watch, ThreadPoolExecutor(VISITORS + 1) as crowd:
        watch.autocommit = True
        # This process may have asked for tiles itself.
        others = connected(watch)
        reader = crowd.submit(turn_pages, over)
        coming = {crowd.submit(visit, number) for number in range(VISITORS)}
        at_work = True
        while at_work:
            found.connections.append(len(connected(watch) - others))
            at_work = bool(wait(coming, timeout=0.05).not_done)
        over.set()
        found.pages.update(reader.result())
        found.tiles.update(visitor.result() for visitor in coming)
    return found


def connected(watch: Any) -> set[int]:
    with watch.cursor() as cursor:
        cursor.execute(CONNECTED)
        return {pid for (pid,) in cursor.fetchall()}


def test_a_crowd_is_served_or_told_to_come_back_and_takes_few_connections_and_no_page(rush: Rush) -> None:
    assert rush.tiles.total() == VISITORS
    assert rush.tiles[200] > 0
    assert set(rush.tiles) <= {200, 503}
    assert set(rush.pages) == {200}
    assert max(rush.connections) <= tiles.MAX_CONNECTIONS
