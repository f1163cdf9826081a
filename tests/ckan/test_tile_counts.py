"""Who asks for which tiles: from real requests by way of Redis to the sysadmins' page and the shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import redis
from ckan import model
from layer_paths import tile_path

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.cli import hdxjobs
from ckanext.hdxjobs.errors import PoolBusy
from ckanext.hdxjobs.geopreview import demand, footfall, footprints, tiles
from ckanext.hdxjobs.geopreview.tally import Counts, Figures

DAYS = 7
PAGE = "/ckan-admin/hdxjobs-tiles"
PATTERN = "*hdxjobs:tiles:*"


@pytest.fixture
def layer(world: dict[str, Any]) -> dict[str, Any]:
    """Of a public dataset."""
    found: dict[str, Any] = world["public"]
    return found


@pytest.fixture
def sysadmin(world: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = world["people"]["sysadmin"]
    return headers


@pytest.fixture(autouse=True)
def nothing_counted(
    world: dict[str, Any], reset_redis: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Before and after, in this process and in Redis; nothing is carried there only because time passes."""
    monkeypatch.setattr(footfall, "FLUSH_S", 3600)
    _forget(reset_redis)
    yield
    _forget(reset_redis)
    footfall._pace.begin_anew()


@pytest.fixture(autouse=True)
def nothing_in_memory(ckan_config: Any) -> None:
    """Each tile is made when it is asked for."""
    ckan_config["ckanext.hdxjobs.tiles.memory_bytes"] = 0


def _forget(reset_redis: Callable[..., Any]) -> None:
    queues.breaker.close()
    footfall.flush()
    reset_redis(PATTERN)


def figures(layer: dict[str, Any]) -> Figures | None:
    """What Redis knows of a layer."""
    report = demand.of_layer(layer["layer_id"], days=DAYS)
    return report.layer.figures if report else None


def asked(layer: dict[str, Any]) -> int:
    found = figures(layer)
    return found.asked if found else 0


def test_tiles_are_counted_by_zoom_and_source(layer: dict[str, Any], app: Any) -> None:
    for place in ("0/0/0", "0/0/0", "1/1/0"):
        app.get(tile_path(layer, place))
    footfall.flush()

    report = demand.of_layer(layer["layer_id"], days=DAYS)

    assert report is not None
    assert [(one.zoom, one.figures.by_source) for one in report.zooms] == [(0, {"live": 2}), (1, {"live": 1})]
    assert {tile.place for tile in report.slowest} == {(0, 0, 0), (1, 1, 0)}
    assert 0 < report.layer.figures.p50_ms <= report.layer.figures.max_ms


def test_a_tile_from_memory_is_counted_as_such(layer: dict[str, Any], app: Any, ckan_config: Any) -> None:
    ckan_config["ckanext.hdxjobs.tiles.memory_bytes"] = 10**6
    for _ in range(3):
        app.get(tile_path(layer, "3/4/3"))
    footfall.flush()

    found = figures(layer)
    assert found is not None
    assert found.by_source["memory"] >= 2


def test_bytes_are_counted_as_they_are_sent(layer: dict[str, Any], app: Any) -> None:
    plain = app.get(tile_path(layer))
    packed = app.get(tile_path(layer), headers={"Accept-Encoding": "gzip"})
    app.get(tile_path(layer), headers={"If-None-Match": plain.headers["ETag"]})
    footfall.flush()

    found = figures(layer)

    assert found is not None
    assert (found.asked, found.sent_bytes) == (3, len(plain.data) + len(packed.data))
    assert (found.max_bytes, found.largest) == (len(plain.data), (0, 0, 0))


def test_an_empty_tile_is_counted(layer: dict[str, Any], app: Any) -> None:
    app.get(tile_path(layer, "5/1/31"))
    footfall.flush()

    found = figures(layer)
    assert found is not None
    assert (found.asked, found.sent_bytes, found.largest) == (1, 0, None)


def test_what_is_not_served_is_not_counted(world: dict[str, Any], app: Any) -> None:
    app.get(tile_path({"layer_id": "0" * 20}))
    app.get(tile_path(world["private"]))
    app.get(tile_path(world["public"], version=7))
    app.get(tile_path(world["public"], "0/1/0"))
    footfall.flush()

    assert footprints.layers(DAYS) == {}


def test_a_tile_that_is_turned_away_is_counted(layer: dict[str, Any], app: Any, monkeypatch: Any) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise PoolBusy("all connections of this process are in use")

    monkeypatch.setattr(tiles.TileReader, "tile", busy)
    answer = app.get(tile_path(layer))
    footfall.flush()

    found = figures(layer)
    assert answer.status_code == 503
    assert found is not None
    assert found.by_source == {"busy": 1}


def test_a_request_carries_the_counts_away_after_its_answer_is_sent(layer: dict[str, Any], app: Any) -> None:
    footfall._pace.begin_anew()
    answer = app.test_client().get(tile_path(layer), buffered=False)
    before = asked(layer)
    answer.close()

    assert (before, asked(layer)) == (0, 1)


def test_the_next_requests_only_count(layer: dict[str, Any], app: Any) -> None:
    footfall._pace.begin_anew()
    for _ in range(3):
        app.test_client().get(tile_path(layer), buffered=False).close()

    assert asked(layer) == 1
    footfall.flush()
    assert asked(layer) == 3


def test_counts_of_several_writes_add_up(layer: dict[str, Any], app: Any) -> None:
    for _ in range(3):
        app.get(tile_path(layer))
        footfall.flush()

    found = figures(layer)
    assert found is not None
    assert (found.asked, footprints.layers(DAYS)) == (3, {layer["layer_id"]: 3})
    assert sum(footprints.read([layer["layer_id"]], DAYS)[layer["layer_id"]][0].histogram) == 3


def test_a_frozen_redis_costs_no_tile_and_no_count(
    layer: dict[str, Any], app: Any, silent_server: Any, ckan_config: Any, monkeypatch: Any
) -> None:
    with monkeypatch.context() as frozen:
        frozen.setitem(ckan_config, "ckan.redis.url", f"redis://127.0.0.1:{silent_server.port}/0")
        for _ in range(3):
            footfall._pace.begin_anew()
            assert app.get(tile_path(layer)).status_code == 200
            footfall.flush()
    assert silent_server.connections() == 1

    queues.breaker.close()
    footfall.flush()
    assert asked(layer) == 3


def test_a_redis_without_memory_gets_the_counts_later_and_once(layer: dict[str, Any], app: Any) -> None:
    app.get(tile_path(layer))
    client = queues.connection()
    client.config_set("maxmemory", "1")
    try:
        footfall.flush()
    finally:
        client.config_set("maxmemory", "0")
    assert asked(layer) == 0
    # Redis is there: whoever rings a bell must not be kept from it.
    assert not queues.breaker.is_open()

    footfall.flush()
    assert asked(layer) == 1


def test_a_redis_that_was_restarted_gets_the_counts_at_once(layer: dict[str, Any], app: Any) -> None:
    app.get(tile_path(layer))
    footfall.flush()
    app.get(tile_path(layer))
    with redis.Redis.from_url(config.redis_url()) as other:
        other.client_kill_filter(_id=queues.connection().client_id())
    footfall.flush()

    assert asked(layer) == 2


def test_a_forked_process_does_not_write_its_parents_counts(layer: dict[str, Any], app: Any) -> None:
    app.get(tile_path(layer))
    child = os.fork()
    if child == 0:
        footfall.flush()
        os._exit(0)
    os.waitpid(child, 0)
    footfall.flush()

    assert asked(layer) == 1


_ENDING = """
import sys
from ckan.common import config
from werkzeug.wrappers import Response
from ckanext.hdxjobs.geopreview import footfall
config.update(zip(sys.argv[2::2], sys.argv[3::2]))
footfall.note(Response(b"tile"), sys.argv[1], (4, 1, 2), source="stored", began_s=0.0)
"""


def test_a_process_that_ends_writes_its_counts(layer: dict[str, Any], ckan_config: Any) -> None:
    names = ("ckan.redis.url", "ckan.site_id", "ckanext.hdxjobs.redis_timeout_s")
    options = [text for name in names for text in (name, str(ckan_config[name]))]
    subprocess.run([sys.executable, "-c", _ENDING, layer["layer_id"], *options], check=True)

    assert asked(layer) == 1


def counted(*tiles_ms: tuple[tuple[int, int, int], float]) -> dict[tuple[str, int], Counts]:
    """Each as if a process of its own had counted it."""
    made: dict[tuple[str, int], Counts] = {}
    for place, ms in tiles_ms:
        made.setdefault(("a" * 20, place[0]), Counts()).add(place, "live", ms, 10)
    return made


@pytest.fixture
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is counted on the same one."""
    today = datetime.now(timezone.utc).date()
    monkeypatch.setattr(footprints, "_today", lambda: today)


def test_the_slowest_tiles_are_kept_and_the_first_of_each_zoom(one_day: None) -> None:
    client = queues.connection()
    footprints.write(client, counted(((0, 0, 0), 0.5)))
    for number in range(30):
        footprints.write(client, counted(((9, number, 0), 100.0 + number)))

    zooms = footprints.read(["a" * 20], DAYS)["a" * 20]

    (slow_key,) = client.keys(PATTERN + ":slow")
    assert client.zcard(slow_key) == footprints.PEAKS + 1
    assert [place for place, _ in footprints.slowest("a" * 20, DAYS)] == [
        (9, number, 0) for number in range(29, 19, -1)
    ]
    assert zooms[0].figures().slowest == (0, 0, 0)
    assert (zooms[9].figures().slowest, zooms[9].figures().max_ms) == ((9, 29, 0), 129.0)


def test_nothing_but_the_sum_of_all_is_kept_for_ever() -> None:
    client = queues.connection()
    footprints.write(client, counted(((0, 0, 0), 0.5)))

    left_s = {key: client.ttl(key) for key in client.keys(PATTERN) if not key.endswith(b":total")}

    assert len(left_s) == 4
    most_s = footprints.KEEP_DAYS * 86400
    assert [key for key, seconds in left_s.items() if not most_s - 3600 < seconds <= most_s] == []


def test_the_page_names_layers_and_leads_to_them(
    layer: dict[str, Any], sysadmin: dict[str, str], app: Any
) -> None:
    app.get(tile_path(layer))

    body = app.get(PAGE, headers=sysadmin).body

    assert f'data-hdxjobs-layer="{layer["layer_id"]}"' in body
    assert f'/dataset/{layer["package_id"]}/resource/{layer["resource_id"]}">Places</a>' in body
    assert f'href="{PAGE}/{layer["layer_id"]}"' in body
    # On a phone the table scrolls, and not the page.
    assert re.search(r'<div class="table-responsive">\s*<table', body)


def test_the_page_of_a_layer_tells_it_by_zoom(
    layer: dict[str, Any], sysadmin: dict[str, str], app: Any
) -> None:
    for place in ("0/0/0", "1/1/0"):
        app.get(tile_path(layer, place))

    body = app.get(f"{PAGE}/{layer['layer_id']}", headers=sysadmin).body

    assert re.findall(r'data-hdxjobs-zoom="(\d+)"', body) == ["0", "1"]
    assert "made when asked for: 2" in body
    assert re.search(r"1/1/0: [\d.]+ ms", body)


def test_a_name_is_text(
    layer: dict[str, Any], sysadmin: dict[str, str], app: Any, renamed: Callable[[str], None]
) -> None:
    renamed("<script>alert(1)</script>")
    app.get(tile_path(layer))

    for path in (PAGE, f"{PAGE}/{layer['layer_id']}"):
        assert "<script>alert(1)" not in app.get(path, headers=sysadmin).body


@pytest.fixture
def renamed(layer: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    def rename(name: str) -> None:
        model.Resource.get(layer["resource_id"]).name = name
        model.Session.commit()

    yield rename
    rename("Places")


def test_a_layer_that_is_no_more_is_told_by_its_id(sysadmin: dict[str, str], app: Any) -> None:
    footprints.write(queues.connection(), counted(((0, 0, 0), 0.5)))

    assert f"A layer that is no more ({'a' * 20})" in app.get(PAGE, headers=sysadmin).body


def test_the_page_says_that_nothing_was_asked_for(sysadmin: dict[str, str], app: Any) -> None:
    assert "No tile was asked for in the last 7 days." in app.get(PAGE, headers=sysadmin).body


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/{'a' * 20}"])
def test_the_page_says_that_redis_does_not_answer(
    sysadmin: dict[str, str], app: Any, silent_server: Any, ckan_config: Any, monkeypatch: Any, path: str
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", f"redis://127.0.0.1:{silent_server.port}/0")

    answer = app.get(path, headers=sysadmin)

    assert answer.status_code == 200
    assert "Redis, where tiles are counted, does not answer: TimeoutError." in answer.body


@pytest.mark.parametrize("name", ["a" * 20, "nonsense", "a" * 20 + ":slow"])
def test_the_page_of_a_layer_that_nobody_asked_for_is_404(
    sysadmin: dict[str, str], app: Any, name: str
) -> None:
    assert app.get(f"{PAGE}/{name}", headers=sysadmin, expect_errors=True).status_code == 404


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/{'a' * 20}"])
@pytest.mark.parametrize("visitor", ["anonymous", "editor", "stranger"])
def test_the_pages_are_for_sysadmins(world: dict[str, Any], app: Any, visitor: str, path: str) -> None:
    answer = app.get(path, headers=world["people"][visitor], expect_errors=True)

    assert answer.status_code == 403


def test_the_command_line_lists_layers(layer: dict[str, Any], app: Any, cli: Any) -> None:
    app.get(tile_path(layer))
    footfall.flush()

    said = cli.invoke(hdxjobs, ["tiles"]).output

    assert said.startswith("1 tiles in 7 days\n")
    assert re.search(rf"{layer['layer_id']} +1 +0 % .* 0/0/0 .*  Places\n", said)


def test_the_command_line_tells_one_layer_by_zoom(layer: dict[str, Any], app: Any, cli: Any) -> None:
    for place in ("0/0/0", "1/1/0"):
        app.get(tile_path(layer, place))
    footfall.flush()

    said = cli.invoke(hdxjobs, ["tiles", layer["layer_id"]]).output

    assert re.findall(r"^ +(\d|all) +(\d)", said, flags=re.MULTILINE) == [
        ("0", "1"),
        ("1", "1"),
        ("all", "2"),
    ]
    assert re.search(r"ms  1/1/0\n", said)


def test_the_command_line_tells_programs(layer: dict[str, Any], app: Any, cli: Any) -> None:
    app.get(tile_path(layer))
    footfall.flush()

    told = json.loads(cli.invoke(hdxjobs, ["tiles", "--json"]).output)

    assert (told["asked"], told["more_layers"]) == (1, 0)
    assert told["layers"][0]["known"]["resource_id"] == layer["resource_id"]
    assert told["layers"][0]["figures"]["by_source"] == {"live": 1}


def test_the_command_line_says_how_many_layers_it_left_out(cli: Any) -> None:
    for number in range(3):
        made = Counts()
        made.add((0, 0, 0), "stored", 1.0, 10)
        footprints.write(queues.connection(), {(f"{number:020x}", 0): made})

    said = cli.invoke(hdxjobs, ["tiles", "--limit", "2"]).output

    assert "and 1 layers more" in said
    assert said.count("a layer that is no more") == 2


def test_the_command_line_knows_no_layer_that_nobody_asked_for(cli: Any) -> None:
    done = cli.invoke(hdxjobs, ["tiles", "0" * 20])

    assert done.exit_code == 1
    assert "Nobody asked for tiles of a layer 00000000000000000000 in 7 days" in done.output


def test_the_command_line_says_that_redis_does_not_answer(
    cli: Any, silent_server: Any, ckan_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.redis.url", f"redis://127.0.0.1:{silent_server.port}/0")

    done = cli.invoke(hdxjobs, ["tiles"])

    assert done.exit_code == 1
    assert "does not answer: TimeoutError (setting ckan.redis.url)" in done.output
