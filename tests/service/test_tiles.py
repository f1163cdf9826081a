"""Tiles as they are drawn, and the small pool that reads them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import makers
import numpy as np
import psycopg2
import pytest
import shapely
from conftest import decode

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import flights, tiles
from ckanext.hdxjobs.geopreview.values import Tile
from devstack.own_site import until

#: For queries whose time is not the point: more than a busy machine takes.
PATIENCE_S = 60

#: A unit of tile 0/0/0 in degrees of longitude.
UNIT = 360 / 4096


def polygon(*ring):
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def line(*points):
    return {"type": "LineString", "coordinates": list(points)}


VANISHING = {
    "a hut": polygon([10, 10], [10.0001, 10], [10.0001, 10.0001], [10, 10.0001]),
    "a thin strip": polygon([0, 0], [60, 0.001], [60, 0.002], [0, 0.001]),
    "a short path": line([10, 10], [10.0001, 10.0001]),
    "a way out and back": line([0, 0], [40, 0], [0, 0.0001]),
    "a closed flat loop": line([0, 0], [40, 0], [0, 0]),
    "a small ring road": line([10, 10], [10.01, 10], [10.01, 10.01], [10, 10]),
    "huts": {
        "type": "MultiPolygon",
        "coordinates": [[[[n, n], [n + 0.001, n], [n + 0.001, n + 0.001], [n, n]]] for n in range(3)],
    },
    "paths": {"type": "MultiLineString", "coordinates": [[[n, n], [n + 0.001, n]] for n in range(3)]},
    "a point": makers.point(10, 10),
    "points": {"type": "MultiPoint", "coordinates": [[1, 1], [2, 2]]},
}


@pytest.mark.parametrize("zoom", [0, 3])
@pytest.mark.parametrize("shape", VANISHING.values(), ids=VANISHING)
def test_a_shape_too_small_for_the_zoom_is_still_there(imported, shape, zoom):
    result = imported(makers.geojson(makers.feature(shape)))
    side = 2**zoom
    found = [item for x in range(side) for y in range(side) for item in result.tile(zoom, x, y)]
    assert found


@pytest.mark.parametrize("place", [(0, 0, 0), (5, 16, 15), (12, 2161, 1933)])
@pytest.mark.parametrize("shape", VANISHING.values(), ids=VANISHING)
def test_a_shape_is_drawn_alike_in_a_layer_of_its_own_type_and_in_a_mixed_one(imported, shape, place):
    others = [makers.feature(makers.point(-170, -70)), makers.feature(line([-170, -70], [-171, -71]))]
    alone, mixed = (
        imported(makers.geojson(makers.feature(shape), *more)).tile(*place) for more in ([], others)
    )
    # Its own tile may be a deep one that it leaves empty; the world has all of them.
    assert alone or place[0]
    (fid,) = {item["id"] for item in alone} or {0}
    assert [item["geometry"] for item in alone] == [item["geometry"] for item in mixed if item["id"] == fid]


def test_a_mark_is_a_square_and_its_ring_an_outer_one(imported):
    (item,) = imported(makers.geojson(makers.feature(VANISHING["a hut"]))).tile()
    x, y = np.array(item["geometry"]["coordinates"][0]).T
    # Two units each way; clockwise where y points up (MVT 2.1, 4.3.3.3).
    assert x @ np.roll(y, -1) - y @ np.roll(x, -1) == -8


def test_a_shape_appears_only_in_tiles_it_touches(imported):
    result = imported(makers.geojson(makers.feature(polygon([20, 20], [170, 20], [170, 80]))))
    assert result.tile(1, 1, 0)
    assert not result.tile(1, 0, 1)


def test_a_shape_whose_box_only_touches_a_tile_is_not_drawn_there(imported):
    corner = polygon([-170, 80], [-170, -80], [-160, -80], [-160, 79], [170, 79], [170, 80])
    assert not imported(makers.geojson(makers.feature(corner))).tile(1, 1, 1)


def test_an_edge_is_drawn_beyond_the_tile_so_that_no_seam_shows(imported):
    result = imported(makers.geojson(makers.feature(makers.point(0.5 * UNIT, 10))))
    assert result.tile(1, 0, 0)
    assert result.tile(1, 1, 0)


def test_a_point_lies_where_it_should(imported):
    (item,) = imported(makers.geojson(makers.feature(makers.point(90, 0)))).tile()
    assert item["geometry"]["coordinates"] == [3072, 2048]


def test_many_vertices_are_simplified_before_they_are_encoded(imported):
    coast = [[n * 0.0005, 30 + (n % 7) * 0.0001] for n in range(100_000)] + [[50, 60], [0, 60]]
    (item,) = imported(makers.geojson(makers.feature(polygon(*coast)))).tile()
    assert len(item["geometry"]["coordinates"][0]) < 1000


def test_a_comb_that_cannot_be_simplified_is_cut_down(imported):
    comb = [[n * 0.0133, 30.0 if n % 2 else 60.0] for n in range(12_000)] + [[160, 0], [0, 0]]
    result = imported(makers.geojson(makers.feature(polygon(*comb))))
    (item,) = result.tile()
    assert len(item["geometry"]["coordinates"][0]) < 10_000


def test_a_crowd_is_thinned_and_the_same_each_time(imported):
    crowd = makers.geojson(*(makers.feature(makers.point(n % 170, n % 80), n=n) for n in range(25_000)))
    result = imported(crowd)
    first = result.tile()
    assert len(first) == 1360  # so many different places
    assert [item["id"] for item in first] == [item["id"] for item in result.tile()]


def test_properties_come_under_their_keys_and_null_is_left_out(imported):
    odd = {'a"b': 1, "x; DROP TABLE y": "z", "%s": None}
    (item,) = imported(makers.geojson(makers.feature(makers.point(1, 2), **odd))).tile()
    assert item["properties"] == {'a"b': 1, "x; DROP TABLE y": "z"}


@pytest.mark.parametrize(
    ("z", "x", "y"), [(-1, 0, 0), (0, 1, 0), (3, 0, 8), (25, 0, 0), (2, -1, 0), (31, 0, 0)]
)
def test_a_tile_that_does_not_exist_is_empty(imported, z, x, y):
    result = imported(makers.towns())
    tile_set = result.tile_sets[0]
    assert result.tile_reader.tile(tile_set.layer_id, tile_set.generation, z, x, y) == Tile(b"", "outside")


def test_a_place_without_features_is_empty(imported):
    assert imported(makers.towns()).tile(5, 0, 0) == []


@pytest.mark.parametrize("layer_id", ["nothing", "", "'; DROP TABLE hdxjobs.layer; --", "%s", "é" * 500])
def test_an_unknown_layer_is_none(tile_reader, layer_id):
    assert tile_reader.layer(layer_id) is None
    assert tile_reader.tile(layer_id, 1, 0, 0, 0) is None


def test_another_version_is_none(imported):
    result = imported(makers.towns())
    assert result.tile_reader.tile(result.tile_sets[0].layer_id, 99, 0, 0, 0) is None


def test_a_tile_deep_down_still_shows_its_feature(imported):
    result = imported(makers.geojson(makers.feature(makers.point(0.0001, -0.0001))))
    assert len(result.tile(24, 2**23 + 4, 2**23 + 4)) == 1


def sessions(geo):
    """Those of all tile readers."""
    found = geo.rows(
        "SELECT pid, backend_start FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'hdxjobs-tiles'"
    )
    return set(found)


def test_connections_are_few_and_used_again(geo):
    before = sessions(geo)
    reads = tiles.TileReader(geo.tiles, PATIENCE_S, max_connections=2)
    for _ in range(5):
        reads.layer("nothing")
    made = sessions(geo) - before
    reads.close()
    assert len(made) == 1


def test_sessions_are_read_only_and_without_jit(geo):
    reads = tiles.TileReader(geo.tiles, 5)
    row = reads._one(
        "SELECT current_setting('transaction_read_only'), current_setting('jit'), current_setting('statement_timeout'),"
        " current_setting('max_parallel_workers_per_gather')",
        {},
    )
    reads.close()
    assert row == ("on", "off", "5s", "0")


def test_a_query_that_takes_too_long_means_come_back_later(geo):
    reads = tiles.TileReader(geo.tiles, 0.2)
    with pytest.raises(errors.PoolBusy):
        reads._one("SELECT pg_sleep(30)", {})
    until(lambda: answers(reads))
    reads.close()


def answers(reads):
    """Whether a reader answers, if only sometimes."""
    try:
        return reads.layer("nothing") is None
    except errors.PoolBusy:
        return False


WAITS_FOR_A_LOCK = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'hdxjobs-tiles' AND wait_event_type = 'Lock'"
)


def test_a_full_pool_means_come_back_later(geo):
    reads = tiles.TileReader(geo.tiles, PATIENCE_S, max_connections=1, wait_s=0.1)
    busy = threading.Thread(target=reads._one, args=("SELECT pg_advisory_lock(1)", {}))
    locked = psycopg2.connect(geo.admin)
    with locked, locked.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        busy.start()
        until(lambda: geo.rows(WAITS_FOR_A_LOCK))
        with pytest.raises(errors.PoolBusy):
            reads.layer("nothing")
    busy.join()
    assert reads.layer("nothing") is None
    locked.close()
    reads.close()


def test_one_tile_asked_by_many_at_the_same_time_takes_one_connection(geo, imported, monkeypatch):
    result = imported(makers.towns())
    layer_id = result.tile_sets[0].layer_id
    reads = tiles.TileReader(geo.tiles, PATIENCE_S, max_connections=1, wait_s=0)
    waiting = threading.Semaphore(0)

    class Watched(Future):
        def result(self, timeout=None):
            waiting.release()
            return super().result(timeout)

    monkeypatch.setattr(flights, "Future", Watched)
    locked = psycopg2.connect(geo.admin)
    with ThreadPoolExecutor(4) as threads:
        with locked, locked.cursor() as cursor:
            cursor.execute(f"LOCK TABLE hdxjobs.{result.tables[0].table_name}")
            first = threads.submit(reads.tile, layer_id, 1, 0, 0, 0)
            until(lambda: geo.rows(WAITS_FOR_A_LOCK))
            more = [threads.submit(reads.tile, layer_id, 1, 0, 0, 0) for _ in range(3)]
            assert all(waiting.acquire(timeout=PATIENCE_S) for _ in more)
        found = [answer.result(PATIENCE_S) for answer in (first, *more)]
    assert [len(decode(tile.body)) for tile in found] == [3] * 4
    locked.close()
    reads.close()


def test_a_connection_cut_by_the_server_is_replaced(geo):
    reads = tiles.TileReader(geo.tiles, 5)
    reads.layer("nothing")
    pid = reads._one("SELECT pg_backend_pid()", {})[0]
    geo.rows("SELECT pg_terminate_backend(%s)", pid)
    assert reads.layer("nothing") is None
    reads.close()


def test_a_database_that_is_away_means_come_back_later():
    with pytest.raises(errors.PoolBusy):
        tiles.TileReader("postgresql://x@127.0.0.1:1/x", 5).layer("nothing")


def test_a_database_that_was_not_set_up_means_come_back_later_and_says_what_to_run():
    reads = tiles.TileReader(os.environ["HDXJOBS_TEST_PG_URL"], 5)
    with pytest.raises(errors.PoolBusy, match="ckan hdxjobs init-db"):
        reads.layer("nothing")
    reads.close()


def test_a_forked_process_makes_connections_of_its_own(geo):
    reads = tiles.TileReader(geo.tiles, 5)
    parents = reads._one("SELECT pg_backend_pid()", {})[0]
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, str(reads._one("SELECT pg_backend_pid()", {})[0]).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with open(read_end) as told:
        assert int(told.read()) != parents
    assert reads._one("SELECT pg_backend_pid()", {})[0] == parents
    reads.close()


def test_a_tile_holds_while_its_table_is_dropped(geo, imported):
    result = imported(makers.towns())
    tile_set = result.tile_sets[0]
    connection = psycopg2.connect(geo.admin)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE hdxjobs.{result.tables[0].table_name}")
    connection.close()
    assert result.tile_reader.tile(tile_set.layer_id, tile_set.generation, 0, 0, 0) is None


def test_a_tile_decodes_to_the_fields_of_the_file(imported):
    result = imported(makers.geojson(makers.feature(makers.point(1, 2), a=1, b="x", c=True, d=0.5)))
    content = result.tile_reader.tile(result.tile_sets[0].layer_id, 1, 0, 0, 0)
    assert decode(content.body)[0]["properties"] == {"a": 1, "b": "x", "c": True, "d": 0.5}


def test_a_big_shape_that_crosses_itself_does_not_hold_up_its_tile(imported):
    """PostGIS's encoder takes seconds for thousands of crossings, and cannot be cancelled."""
    noise = np.random.default_rng(3).uniform(60, 61, 30_000)
    angles = np.linspace(0, 2 * np.pi, len(noise), endpoint=False)
    ring = np.column_stack([np.cos(angles) * noise, np.sin(angles) * noise]).tolist()
    result = imported(makers.geojson(makers.feature(polygon(*ring))))
    assert result.tile(3, 4, 3)


def vertices(features):
    """Of all that is drawn."""
    return int(
        sum(shapely.get_num_coordinates(shapely.geometry.shape(item["geometry"])) for item in features)
    )


CHANCE = np.random.default_rng(5)
CORNERS = CHANCE.uniform(-60, 60, (400, 2)).tolist()
#: The tip of a needle is far from the corners: all of it is wide.
KNOT = [*(CHANCE.uniform(0, 20, (300, 2))).tolist(), [-160, 0], [-160, 0.1]]
OVERLAPPING = [
    [[[x, y], [x + 60, y], [x, y + 50], [x, y]]] for x, y in CHANCE.uniform(-90, 20, (400, 2)).tolist()
]
TANGLED = {
    "corners in no order": polygon(*CORNERS),
    "a knot in a wide outline": polygon(*KNOT),
    "polygons that overlap": {"type": "MultiPolygon", "coordinates": OVERLAPPING},
}


@pytest.mark.parametrize("shape", TANGLED.values(), ids=TANGLED)
def test_what_crosses_itself_thousands_of_times_is_drawn_coarsely(imported, shape):
    """PostGIS's encoder makes vertices of all crossings, for minutes where there are many."""
    result = imported(makers.geojson(makers.feature(shape)))
    assert 4 <= vertices(result.tile(0, 0, 0)) < 2_000
