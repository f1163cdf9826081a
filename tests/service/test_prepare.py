"""The second phase of publishing: every tile is stored or cheap, and nothing gets lost on the way."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import mapbox_vector_tile
import numpy as np
import psycopg2
import pytest
import shapely
from conftest import AMPLE, decode
from makers import feature, geojson, point, towns
from shapely.geometry import mapping

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import bake, db, listing, load, prepare, publish, pyramid, rules, transfer
from ckanext.hdxjobs.geopreview.pyramid import Budget
from ckanext.hdxjobs.geopreview.sketch import Sketches
from devstack.own_site import until

#: So small that a few hundred features make tiles heavy.
SMALL = Budget(rows=150, vertices=3_000, walk_vertices=300, max_zoom=14)


def info(result, z=0, x=0, y=0, layer=0):
    """(state, dropped, bytes) of a tile."""
    tile_set = result.tile_sets[layer]
    (row,) = result.geo.rows(
        "SELECT state, dropped, length(mvt) FROM hdxjobs.tile_v2(%s, %s, %s, %s, %s)",
        *(tile_set.layer_id, tile_set.generation, z, x, y),
    )
    return row


def shapes(result, z, x, y):
    """(id, shape in the tile's units with y down, amount) of a tile's features."""
    tile_set = result.tile_sets[0]
    tile = result.tile_reader.tile(tile_set.layer_id, tile_set.generation, z, x, y)
    if not tile.body:
        return []
    decoded = mapbox_vector_tile.decode(tile.body, default_options={"y_coord_down": True})
    return [
        (item["id"], shapely.geometry.shape(item["geometry"]), item["properties"].get("point_count", 1))
        for item in decoded["layer"]["features"]
    ]


def all_tiles(zoom):
    return [(zoom, x, y) for x in range(2**zoom) for y in range(2**zoom)]


def lattice(count, seed=1, spread=60.0):
    """Points with three decimals in a few clusters."""
    random = np.random.default_rng(seed)
    centres = random.uniform(-spread, spread, (8, 2))
    spots = centres[random.integers(0, 8, count)] + random.normal(0, 1, (count, 2))
    return np.round(np.clip(spots, -80, 80), 3)


def crowd(count=2_000, **properties):
    return geojson(
        *(feature(point(*spot), n=n, **properties) for n, spot in enumerate(lattice(count).tolist()))
    )


def star(vertices, seed=1, centre=(10, 10), size=40):
    """A wiggly polygon, degrees."""
    random = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = size * (0.7 + 0.2 * np.sin(7 * angle) + 0.05 * random.uniform(-1, 1, vertices))
    ring = np.column_stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)])
    return {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}


def honeycomb(seed=3, count=40, steps=3_000):
    """Neighbouring polygons whose borders wiggle; degrees."""
    random = np.random.default_rng(seed)
    cells = shapely.get_parts(
        shapely.voronoi_polygons(
            shapely.multipoints(random.uniform(-40, 40, (count, 2))), extend_to=shapely.box(-40, -40, 40, 40)
        )
    )
    cells = shapely.segmentize(shapely.intersection(cells, shapely.box(-40, -40, 40, 40)), 80 / steps)

    def bend(xy):
        return xy + np.column_stack([0.4 * np.sin(xy[:, 1] * 3), 0.4 * np.sin(xy[:, 0] * 3)])

    return [shapely.transform(cell, bend) for cell in cells]


def test_a_small_layer_is_made_on_demand(imported):
    result = imported(towns())
    assert info(result)[0] == "live"


def test_a_heavy_tile_is_stored_and_the_ones_below_are_not(imported):
    result = imported(crowd(), budget=SMALL)
    assert info(result)[0] == "stored"
    states = {info(result, 14, x, 8000)[0] for x in range(8000, 8010)}
    assert states == {"live"}


def test_a_stored_tile_has_its_gzip_copy(imported):
    result = imported(crowd(), budget=SMALL)
    tile_set = result.tile_sets[0]
    ask = "SELECT mvt, state, is_packed FROM hdxjobs.tile_v3(%s, 1, 0, 0, 0, NULL, %s)"
    ((plain, state, is_packed),) = result.geo.rows(ask, tile_set.layer_id, False)
    assert (state, is_packed) == ("stored", False)
    ((packed, state, is_packed),) = result.geo.rows(ask, tile_set.layer_id, True)
    assert (state, is_packed) == ("stored", True)
    assert gzip.decompress(bytes(packed)) == bytes(plain)
    assert result.tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0).content == bytes(packed)


def test_tiles_that_an_older_release_stored_are_served_without_a_gzip_copy(geo, imported):
    result = imported(crowd(), budget=SMALL)
    tile_set = result.tile_sets[0]
    before = result.tile()
    geo.rows(f"ALTER TABLE hdxjobs.s{result.tables[0].table_name[1:]} DROP COLUMN packed; SELECT 1")
    assert result.tile() == before
    ask = "SELECT state, is_packed FROM hdxjobs.tile_v3(%s, 1, 0, 0, 0, NULL, true)"
    assert geo.rows(ask, tile_set.layer_id) == [("stored", False)]


@pytest.mark.parametrize("zoom", [0, 1, 2, 3, 4])
def test_each_point_is_drawn_or_counted_at_each_zoom(imported, zoom):
    result = imported(crowd(), budget=SMALL)
    counted = sum(
        amount
        for tile in all_tiles(zoom)
        for _, shape, amount in shapes(result, *tile)
        if 0 <= shape.x < 4096 and 0 <= shape.y < 4096
    )
    assert counted == 2_000


def test_each_feature_of_a_mixed_layer_is_seen_when_zoomed_in(imported):
    spots = lattice(600, seed=5).tolist()
    makers_of = (
        point,
        lambda x, y: {"type": "LineString", "coordinates": [[x, y], [x + 0.01, y + 0.02]]},
        lambda x, y: mapping(shapely.box(x, y, x + 0.01, y + 0.01)),
    )
    result = imported(
        geojson(*(feature(makers_of[n % 3](*spot), n=n) for n, spot in enumerate(spots))), budget=SMALL
    )
    side = 2**14
    for n, (lon, lat) in list(enumerate(spots))[::17]:
        x = int((lon + 180) / 360 * side)
        y = int((0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)) * side)
        assert n in {item["properties"]["n"] for item in result.tile(14, x, y)}


def test_tiny_areas_of_a_crowd_are_drawn_as_a_pixel(imported):
    boxes = (shapely.box(x, y, x + 0.0001, y + 0.0001) for x, y in lattice(1_000).tolist())
    result = imported(geojson(*(feature(mapping(box)) for box in boxes)), budget=SMALL)
    found = shapes(result, 0, 0, 0)
    assert info(result)[0] == "stored"
    assert sum(amount for _, _, amount in found) == 1_000
    assert all(shape.area >= 60 for _, shape, _ in found)


def test_who_is_drawn_stays_when_zooming_in(imported):
    result = imported(crowd(), budget=SMALL)
    before = {fid for fid, _, _ in shapes(result, 0, 0, 0)}
    for zoom in (1, 2, 3):
        now = {fid for tile in all_tiles(zoom) for fid, _, _ in shapes(result, *tile)}
        assert before <= now
        before = now


@pytest.mark.parametrize("zoom", [0, 2, 4])
def test_a_large_polygon_has_no_seams_and_no_gaps(imported, zoom):
    shape = star(6_000)
    result = imported(geojson(feature(shape)), budget=SMALL)
    assert result.geo.rows(
        "SELECT pieces >= 4 FROM hdxjobs.layer WHERE layer_id = %s", result.tile_sets[0].layer_id
    ) == [(True,)]
    drawn = sum(
        piece.buffer(0).intersection(shapely.box(0, 0, 4096, 4096)).area
        for tile in all_tiles(zoom)
        for _, piece, _ in shapes(result, *tile)
    )
    ((area,),) = result.geo.rows(f"SELECT ST_Area(hdx_geom) FROM hdxjobs.{result.tables[0].table_name}")
    unit = 2 * 20037508.342789244 / 2**zoom / 4096
    assert drawn * unit**2 == pytest.approx(area, rel=0.01)


def test_no_cut_is_drawn_inside_a_tile(imported):
    result = imported(geojson(feature(star(6_000))), budget=SMALL)
    inner = shapely.box(1, 1, 4095, 4095)
    for tile in [(5, 17, 15), (6, 34, 30), (7, 68, 61)]:
        for _, shape, _ in shapes(result, *tile):
            edge = shape.boundary.intersection(inner)
            straight = [
                part
                for part in shapely.get_parts(edge)
                if part.length > 2000
                and (part.bounds[0] == part.bounds[2] or part.bounds[1] == part.bounds[3])
            ]
            assert straight == []


@pytest.mark.parametrize("zoom", [1, 2])
def test_neighbours_leave_no_sliver_wider_than_half_a_pixel(imported, zoom):
    cells = honeycomb()
    result = imported(geojson(*(feature(mapping(cell)) for cell in cells)), budget=SMALL)
    tile = (zoom, 2 ** (zoom - 1), 2 ** (zoom - 1))
    assert info(result, *tile)[0] == "stored"
    together = shapely.union_all([shape.buffer(0) for _, shape, _ in shapes(result, *tile)])
    filled = shapely.union_all([shape.buffer(2, join_style="mitre") for _, shape, _ in shapes(result, *tile)])
    # Growing each shape by a quarter of a pixel (2 units of 8) closes all that is between them.
    assert shapely.get_num_interior_rings(shapely.get_parts(filled)).sum() == 0
    assert together.area > 0


def touching(result, z, x, y):
    """Ids of the features that meet a tile."""
    rows = result.geo.rows(
        f"SELECT hdx_fid FROM hdxjobs.{result.tables[0].table_name}"
        " WHERE ST_Intersects(hdx_geom, ST_TileEnvelope(%s, %s, %s))",
        *(z, x, y),
    )
    return {fid for (fid,) in rows}


def inside(result, z, x, y):
    """Ids of the features that a tile shows, its margin apart."""
    square = shapely.box(0, 0, 4096, 4096)
    return {fid for fid, shape, _ in shapes(result, z, x, y) if shape.intersects(square)}


def routes(count=1_000):
    """Straight lines across the world."""
    random = np.random.default_rng(8)
    ends = random.uniform([-170, -75, -170, -75], [170, 75, 170, 75], (count, 4))
    lines = (shapely.linestrings([[a, b], [c, d]]) for a, b, c, d in ends.tolist())
    return geojson(*(feature(mapping(line), n=n, odd=n % 2) for n, line in enumerate(lines)))


CUT = replace(SMALL, short_vertices=0)


@pytest.mark.parametrize(
    ("budget", "few", "chunk"),
    [
        *((CUT, listing.FEW, transfer.CHUNK_VERTICES), (SMALL, listing.FEW, transfer.CHUNK_VERTICES)),
        *((SMALL, 20, transfer.CHUNK_VERTICES), (SMALL, 20, 300)),
    ],
    ids=["cut", "listed", "listed twice", "listed of several chunks"],
)
def test_world_spanning_routes_are_found_everywhere(imported, monkeypatch, budget, few, chunk):
    monkeypatch.setattr(listing, "FEW", few)
    monkeypatch.setattr(transfer, "CHUNK_VERTICES", chunk)
    result = imported(routes(), budget=budget)
    for tile in [(4, 7, 7), (5, 3, 9), (6, 40, 20), (9, 300, 200)]:
        # One may graze the edge.
        assert len(inside(result, *tile) ^ touching(result, *tile)) <= 1


def made(result):
    """Pieces and lists of a layer, as the registry tells, and the lists that are there for tiles that are not heavy."""
    name = result.tables[0].table_name
    there = f"SELECT count(*) FROM hdxjobs.p{name[1:]} WHERE fids IS NOT NULL AND cell >= 0"
    (row,) = result.geo.rows(
        f"SELECT pieces, lists, ({there}) FROM hdxjobs.layer WHERE table_name = %s", name
    )
    return row


def test_a_route_is_listed_and_not_copied(imported):
    pieces, told, lists = made(imported(routes(), budget=SMALL))
    assert pieces == 0
    assert told == lists > 0


def test_each_tile_has_one_list(imported, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_VERTICES", 300)
    result = imported(routes(), budget=SMALL)
    name = result.tables[0].table_name
    assert result.geo.rows(f"SELECT cell FROM hdxjobs.p{name[1:]} GROUP BY cell HAVING count(*) > 1") == []


def test_what_has_more_vertices_is_cut_beside_what_is_listed(imported):
    result = imported(
        geojson(*(feature(star(6_000)), *(feature(star(20, seed=seed)) for seed in range(200)))), budget=SMALL
    )
    pieces, lists, _ = made(result)
    assert pieces > 0
    assert lists > 0
    assert {fid for fid, _, _ in shapes(result, 8, 133, 124)} == set(range(201))


def test_a_collection_of_few_vertices_keeps_all_its_kinds_in_a_crowd(imported):
    mixed = {
        "type": "GeometryCollection",
        "geometries": [star(10), {"type": "LineString", "coordinates": [[-60, -60], [60, 60]]}],
    }
    result = imported(geojson(*(feature(mixed) for _ in range(200))), budget=SMALL)
    kinds = {shape.geom_type.removeprefix("Multi") for _, shape, _ in shapes(result, 8, 128, 127)}
    assert kinds == {"Polygon", "LineString"}


def test_routes_that_a_tile_leaves_out_are_told(imported):
    result = imported(routes(), budget=SMALL)
    _, dropped, _ = info(result)
    shown = sum(amount for _, _, amount in shapes(result, 0, 0, 0))
    assert shown == 2 * SMALL.rows
    assert shown + dropped == 1_000


def test_a_layer_counts_as_prepared_only_once_that_is_on_disk(published, geo, monkeypatch):
    seen = []

    def noted(preparation, made):
        with preparation._connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            lazily = cursor.fetchone()
            cursor.execute(db.query("note_prepared"), dict.fromkeys(NOTED) | {"table_name": ""})
            cursor.execute("SHOW synchronous_commit")
            seen.extend((lazily, cursor.fetchone()))

    monkeypatch.setattr(prepare._Preparation, "_note", noted)
    (tile_set,) = published(crowd(500))
    prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    assert seen == [("off",), ("on",)]


#: What the registry is told of a layer.
NOTED = ("tiles", "pieces", "lists", "deepest", "capped_zoom")


def test_a_heavy_tile_shows_routes_by_their_filter(imported):
    result = imported(routes(300), budget=SMALL)
    ask = json.dumps({"filter": {"op": "=", "args": [{"property": "odd"}, 1]}})
    ((content, state),) = result.geo.rows(
        "SELECT mvt, state FROM hdxjobs.tile_v2(%s, 1, 0, 0, 0, %s)", result.tile_sets[0].layer_id, ask
    )
    assert state == "filtered"
    odd = {item["properties"]["n"] for item in decode(bytes(content))}
    assert odd == {n for n in range(300) if n % 2}


def test_what_does_not_fit_is_dropped_and_told(imported):
    texts = "".join(chr(0x4E00 + n) for n in range(250))
    spots = lattice(3_000, spread=70).tolist()
    content = geojson(
        *(feature(point(x, y), a=f"{n}{texts}", b=f"{texts}{n}") for n, (x, y) in enumerate(spots))
    )
    result = imported(content, budget=Budget(rows=3_000))
    state, dropped, size = info(result)
    assert (state, size <= 500_000) == ("stored", True)
    shown = sum(amount for _, _, amount in shapes(result, 0, 0, 0))
    assert shown + dropped == 3_000


def test_pieces_and_tiles_go_with_their_generation(geo, imported, resource_id):
    result = imported(geojson(feature(star(6_000))), budget=SMALL, resource_id=resource_id)
    assert len(companions(geo, result)) == 2
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1)
    assert companions(geo, result) == []


def companions(geo, result):
    name = result.tables[0].table_name[1:]
    return geo.rows("SELECT tablename FROM pg_tables WHERE tablename IN (%s, %s)", f"s{name}", f"p{name}")


@pytest.fixture
def published(geo, detected, readers):
    """Published, and not prepared."""

    def run(content, **kw):
        (layer,), _ = detected(content, **kw)
        table = load.load(
            layer, dsn=geo.loader, caps=AMPLE, max_columns=1500, readers=readers, progress=lambda far: None
        )
        return publish.publish(
            [table], resource_id=layer.resource_id, generation=layer.generation, dsn=geo.loader
        )

    return run


def test_a_layer_serves_before_it_is_prepared(published, tile_reader):
    (tile_set,) = published(towns())
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)


def test_a_large_layer_shows_a_sample_before_it_is_prepared(published, geo):
    (tile_set,) = published(crowd(12_000))
    ((state, size),) = geo.rows(
        "SELECT state, length(mvt) FROM hdxjobs.tile_v2(%s, 1, 0, 0, 0)", tile_set.layer_id
    )
    assert state == "preview"
    assert 0 < size <= 500_000


@pytest.mark.parametrize("step", ["bake", "draw_shapes"])
def test_killed_on_the_way_the_layer_serves_as_before_and_can_be_prepared_again(
    published, geo, tile_reader, monkeypatch, step
):
    (tile_set,) = published(geojson(*(feature(star(2_400, seed=seed)) for seed in (1, 2))))
    before = tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(bake.Oven, step, _die)
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0) == before
    (made,) = prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    assert made.tiles > 0
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)


def test_a_large_shape_is_left_out_of_previews_until_it_is_there_in_rough(
    published, tile_reader, geo, monkeypatch
):
    whole = star(60_000)
    (tile_set,) = published(geojson(feature(whole, name="large"), feature(point(100, 50), name="small")))
    early = tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)
    assert (early.state, [item["properties"]["name"] for item in decode(early.body)]) == (
        "preview",
        ["small"],
    )
    monkeypatch.setattr(bake.Oven, "bake", _die)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    rough = tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)
    large, small = decode(rough.body)
    assert (rough.state, small["properties"]["name"], large["properties"]["name"]) == (
        "preview",
        "small",
        "large",
    )
    ((true_area,),) = geo.rows(
        f"SELECT ST_Area(hdx_geom) FROM hdxjobs.{rules.table_name(tile_set.layer_id, 1)} WHERE hdx_fid = 0"
    )
    unit_m = pyramid.unit_m(0)
    assert shapely.geometry.shape(large["geometry"]).area * unit_m**2 == pytest.approx(true_area, rel=0.02)


def test_sketches_go_with_their_layer(published, geo, monkeypatch):
    (tile_set,) = published(geojson(feature(star(60_000))))
    prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    name = rules.sketches_name(rules.table_name(tile_set.layer_id, 1))
    assert geo.rows("SELECT 1 FROM pg_tables WHERE tablename = %s", name)
    publish.retire(resource_id=tile_set.resource_id, generation=1, dsn=geo.loader)
    assert not geo.rows("SELECT 1 FROM pg_tables WHERE tablename = %s", name)


def _die(*args, **kw):
    raise KeyboardInterrupt


def test_a_layer_whose_preparation_died_is_found_again(published, geo):
    (tile_set,) = published(towns())
    left = publish.unprepared(dsn=geo.loader, older_than_s=0, max_attempts=3, limit=1000)
    assert tile_set.layer_id in left
    prepare.prepare([tile_set], dsn=geo.loader)
    left = publish.unprepared(dsn=geo.loader, older_than_s=0, max_attempts=3, limit=1000)
    assert tile_set.layer_id not in left


def test_preparing_twice_does_the_work_once(published, geo):
    (tile_set,) = published(crowd(500))
    (first,) = prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    (again,) = prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    assert again.tiles == first.tiles


@pytest.mark.parametrize(
    "make",
    [
        crowd,
        lambda: geojson(*(feature(mapping(cell)) for cell in honeycomb(count=20, steps=1_000))),
        lambda: geojson(
            *(feature(mapping(shapely.box(x, y, x + 0.01, y + 0.01))) for x, y in lattice(1_000).tolist())
        ),
    ],
    ids=["points", "large shapes", "small shapes"],
)
def test_two_connections_make_the_tiles_that_one_makes(published, geo, monkeypatch, make):
    monkeypatch.setattr(bake, "WORTH_SHARING", 0)
    stored = []
    for hands in (1, 2):
        (tile_set,) = published(make())
        prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL, hands=hands)
        name = f"s_{tile_set.layer_id}_g1"
        stored.append(geo.rows(f"SELECT cell, mvt, amount, dropped FROM hdxjobs.{name} ORDER BY cell"))
    assert len(stored[0]) > 1
    assert stored[0] == stored[1]


@pytest.mark.parametrize("kind", [0, 1, 2, 3], ids=["points", "lines", "areas", "all of them"])
def test_what_was_seen_while_loading_is_what_the_table_tells(published, geo, kind):
    random = np.random.default_rng(kind)
    makers_of = (
        point,
        lambda x, y: {
            "type": "LineString",
            "coordinates": [[x, y], [x + random.random(), y + 1], [x - 1, y + random.random()]],
        },
        lambda x, y: mapping(shapely.box(x, y, x + 0.01, y + 0.01)),
    )
    chosen = makers_of if kind == 3 else makers_of[kind : kind + 1]
    spots = np.round(random.uniform(-80, 80, (300, 2)), 6).tolist()
    (tile_set,) = published(
        geojson(*(feature(chosen[n % len(chosen)](*spot)) for n, spot in enumerate(spots)))
    )
    seen = pyramid.boxes(tile_set.outline)
    with psycopg2.connect(geo.loader) as connection, connection.cursor() as cursor:
        table = db.table(f"l_{tile_set.layer_id}_g1")
        read = transfer.read_boxes(cursor, table, dimension=None)
    assert {key: value.tolist() for key, value in vars(seen).items()} == {
        key: value.tolist() for key, value in vars(read).items()
    }


def test_a_layer_of_a_worker_that_died_gets_the_same_tiles(published, geo):
    stored = []
    for remembered in (True, False):
        (tile_set,) = published(crowd())
        if not remembered:
            tile_set = replace(tile_set, outline=None)
        prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
        name = f"s_{tile_set.layer_id}_g1"
        stored.append(geo.rows(f"SELECT cell, mvt, amount, dropped FROM hdxjobs.{name} ORDER BY cell"))
    assert stored[0] == stored[1]


def test_a_connection_that_fails_undoes_what_the_other_one_did(published, geo, monkeypatch):
    monkeypatch.setattr(bake, "WORTH_SHARING", 0)
    (tile_set,) = published(crowd())
    with monkeypatch.context() as patch:
        patch.setattr(bake.Oven, "_overweight", _fails_but_on_the_first)
        with pytest.raises(ZeroDivisionError):
            prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    assert geo.rows(f"SELECT count(*) FROM hdxjobs.s_{tile_set.layer_id}_g1") == [(0,)]


def _fails_but_on_the_first(oven, cursor, zoom):
    return 1 // (cursor is oven.hands.cursors[0])


def test_what_was_deleted_is_not_prepared(published, geo, resource_id):
    tile_sets = published(crowd(500), resource_id=resource_id)
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1)
    with pytest.raises(errors.Superseded):
        prepare.prepare(tile_sets, dsn=geo.loader, budget=SMALL)


@pytest.mark.parametrize(
    "moment", [(prepare._Preparation, "_make"), (Sketches, "store")], ids=["its tiles", "its sketches"]
)
def test_what_is_deleted_before_it_has_its_tables_gets_none(published, geo, monkeypatch, moment):
    place, name = moment
    (tile_set,) = published(geojson(feature(star(60_000))))
    step = getattr(place, name)

    def deleted(*words, **options):
        publish.retire(resource_id=tile_set.resource_id, generation=1, dsn=geo.loader)
        return step(*words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, deleted)
        with pytest.raises(errors.Superseded):
            prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    publish.drop_old(dsn=geo.loader, grace_s=0)
    assert geo.rows("SELECT tablename FROM pg_tables WHERE tablename ~ %s", tile_set.layer_id) == []


def test_who_drops_a_layer_waits_for_the_tables_that_are_made_beside_it(published, geo, monkeypatch):
    (tile_set,) = published(crowd(500))
    monkeypatch.setitem(db.queries(), "lock_timeout", "SET LOCAL lock_timeout = '60s'")
    name = rules.table_name(tile_set.layer_id, 1)
    beside = {"stored": rules.stored_name(name), "pieces": rules.pieces_name(name)}
    maker = psycopg2.connect(geo.loader)
    with maker.cursor() as cursor, ThreadPoolExecutor() as aside:
        cursor.execute(db.query("still_served_and_kept"), {"table_name": name})
        cursor.execute(db.query("prepared_tables", **{key: db.table(each) for key, each in beside.items()}))
        dropped = aside.submit(publish.retire, resource_id=tile_set.resource_id, generation=1, dsn=geo.loader)
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        until(lambda: geo.rows(waits))
        maker.commit()
        assert dropped.result() == 1
    maker.close()
    assert geo.rows("SELECT tablename FROM pg_tables WHERE tablename ~ %s", tile_set.layer_id) == []


def test_two_never_prepare_one_layer_at_once(published, geo):
    (tile_set,) = published(crowd(500))
    connection = psycopg2.connect(geo.loader)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_lock(hashtext('hdxjobs.prepare'), hashtext(%s))",
            [f"l_{tile_set.layer_id}_g1"],
        )
        with pytest.raises(errors.Superseded):
            prepare.prepare([tile_set], dsn=geo.loader, budget=SMALL)
    connection.close()


def test_a_thousand_points_in_one_place_are_one_mark_at_each_zoom(imported):
    result = imported(geojson(*(feature(point(10, 10), n=n) for n in range(1_000))), budget=SMALL)
    side = 2**14
    x, y = int(190 / 360 * side), int((0.5 - np.arcsinh(np.tan(np.radians(10))) / (2 * np.pi)) * side)
    for zoom in (0, 5, 10, 14):
        (item,) = result.tile(zoom, x >> (14 - zoom), y >> (14 - zoom))
        assert item["properties"]["point_count"] == 1_000
    assert len(result.tile(16, x << 2, y << 2)) <= 1_000


def test_a_comb_that_cannot_be_simplified_is_cut_and_stays_quick(imported):
    teeth = [[n * 0.012, 30.0 if n % 2 else 60.0] for n in range(10_000)]
    comb = {"type": "Polygon", "coordinates": [[*teeth, [160, 0], [0, 0], teeth[0]]]}
    result = imported(geojson(feature(comb)))
    for tile in [(0, 0, 0), (3, 4, 3), (6, 40, 22), (9, 300, 190)]:
        assert info(result, *tile)[2] <= 500_000


@pytest.mark.parametrize("lat", [-89.9, 89.9])
def test_the_poles_are_drawn_at_the_edge(imported, lat):
    result = imported(geojson(*(feature(point(n / 10, lat)) for n in range(500))), budget=SMALL)
    assert sum(amount for _, _, amount in shapes(result, 0, 0, 0)) == 500


def test_what_reaches_over_the_antimeridian_is_cut_at_the_edge(imported):
    wide = star(6_000, centre=(170, 0), size=15)
    result = imported(geojson(feature(wide)), budget=SMALL)
    assert shapes(result, 3, 7, 3)
    assert info(result, 0, 0, 0)[2] > 0


def test_many_columns_are_shortened_where_tiles_are_heavy(imported):
    values = {f"column_{n:04}": n for n in range(1_400)}
    result = imported(
        geojson(*(feature(point(x, y), **values) for x, y in lattice(300).tolist())), budget=SMALL
    )
    state, _, size = info(result)
    assert state == "stored"
    assert size <= 500_000


def test_a_long_text_fits_into_a_tile(imported):
    long = "x" * 100_000
    result = imported(geojson(*(feature(point(n, n), text=f"{n}{long}") for n in range(30))))
    assert info(result)[2] <= 500_000
    assert len(result.tile()) == 30


def test_values_that_floats_cannot_hold_are_exact(imported):
    big = 2**53 + 1
    result = imported(geojson(*(feature(point(n / 10, 1), big=big + n) for n in range(300))), budget=SMALL)
    assert all(item["properties"]["big"] == big + item["id"] for item in result.tile())


def test_dates_truths_and_nothing_are_what_they_were(imported):
    odd = {"day": "2024-02-29", "at": "2024-02-29T12:30:00Z", "yes": True, "none": None}
    result = imported(geojson(*(feature(point(n / 10, 1), **odd) for n in range(300))), budget=SMALL)
    seen = result.tile()[0]["properties"]
    assert (seen["day"], seen["at"][:16], seen["yes"], "none" in seen) == (
        "2024-02-29",
        "2024-02-29T12:30",
        True,
        False,
    )


def test_a_collection_keeps_all_its_kinds_when_it_is_cut(imported):
    mixed = {
        "type": "GeometryCollection",
        "geometries": [star(6_000), {"type": "LineString", "coordinates": [[-60, -60], [60, -60]]}],
    }
    result = imported(geojson(feature(mixed)), budget=SMALL)
    kinds = {shape.geom_type.removeprefix("Multi") for _, shape, _ in shapes(result, 0, 0, 0)}
    assert kinds == {"Polygon", "LineString"}


def test_the_registry_tells_what_was_made(imported):
    result = imported(geojson(feature(star(6_000))), budget=SMALL)
    ((share, tiles, pieces, capped),) = result.geo.rows(
        "SELECT prepare_share, tiles, pieces, capped_zoom FROM hdxjobs.layer WHERE layer_id = %s",
        result.tile_sets[0].layer_id,
    )
    assert (share > 0, tiles > 0, pieces > 0, capped) == (True, True, True, None)


@pytest.mark.parametrize(("budget", "each"), [(CUT, 2), (SMALL, 6)], ids=["pieces", "lists"])
def test_cutting_stops_where_it_would_never_end(imported, monkeypatch, budget, each):
    monkeypatch.setattr(prepare, "MAX_PIECES_FREE", 0)
    monkeypatch.setattr(prepare, "MAX_PIECES_EACH", each)
    result = imported(routes(), budget=budget)
    tile = (8, 120, 120)
    assert info(result)[0] == "stored"
    assert info(result, *tile)[0] == "capped"
    assert inside(result, *tile) == touching(result, *tile) != set()


def test_what_the_zooms_above_listed_counts_towards_the_end(imported, monkeypatch):
    # No zoom has so many.
    monkeypatch.setattr(prepare, "MAX_PIECES_FREE", 5_000)
    monkeypatch.setattr(prepare, "MAX_PIECES_EACH", 0)
    monkeypatch.setattr(prepare, "ENTRIES_A_PIECE", 1)
    assert info(imported(routes(), budget=SMALL), 8, 120, 120)[0] == "capped"


def bundle(count=400):
    """Lines beside each other; every other one is longer."""
    lines = ([[-50 - 10 * (n % 2), 20 + n / 50], [50 + 10 * (n % 2), 20 + n / 50]] for n in range(count))
    return geojson(*(feature({"type": "LineString", "coordinates": line}) for line in lines))


@pytest.mark.parametrize("few", [listing.FEW, 20], ids=["listed", "listed twice"])
def test_a_list_without_end_keeps_the_largest(imported, monkeypatch, few):
    monkeypatch.setattr(prepare, "MAX_PIECES_FREE", 0)
    monkeypatch.setattr(prepare, "MAX_PIECES_EACH", 1)
    monkeypatch.setattr(listing, "FEW", few)
    result = imported(bundle(), budget=SMALL)
    pieces = f"hdxjobs.p{result.tables[0].table_name[1:]}"
    lists = result.geo.rows(f"SELECT fids FROM {pieces} WHERE cell >= 0")
    assert {len(fids) for (fids,) in lists} == {SMALL.rows}
    assert all(set(fids) < set(range(1, 400, 2)) for (fids,) in lists)


def test_a_list_that_is_cut_short_at_the_deepest_zoom_is_told(imported):
    result = imported(bundle(), budget=replace(SMALL, max_zoom=1))
    assert info(result, 8, 120, 120)[0] == "capped"


def test_clients_may_enlarge_only_tiles_that_show_everybody(published, geo, tile_reader):
    (tile_set,) = published(geojson(*(feature(point(10 + n * 1e-5, 10), n=n) for n in range(400))))
    prepare.prepare([tile_set], dsn=geo.loader, budget=replace(SMALL, max_zoom=16))
    assert tile_reader.layer(tile_set.layer_id).maxzoom == 16


def test_coarse_shapes_need_no_deep_tiles(published):
    (coarse,) = published(geojson(feature(star(40))))
    (fine,) = published(geojson(feature(star(40, size=0.01))))
    assert coarse.maxzoom < fine.maxzoom


FLAT = {
    "closed lines that fold flat": lambda y: {
        "type": "LineString",
        "coordinates": [[0, y], [40, y], [0, y]],
    },
    "strips thinner than a unit": lambda y: {
        "type": "Polygon",
        "coordinates": [[[0, y], [40, y + 0.0001], [40, y + 0.0002], [0, y + 0.0001], [0, y]]],
    },
}


@pytest.mark.parametrize("tile", [(0, 0, 0), (2, 2, 1), (5, 17, 15)])
@pytest.mark.parametrize("make", FLAT.values(), ids=FLAT)
def test_shapes_that_vanish_at_a_zoom_are_still_seen_in_a_crowd(imported, make, tile):
    result = imported(geojson(*(feature(make(0.5 + n / 10)) for n in range(300))), budget=SMALL)
    zoom, _, y = tile
    north, south = (np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * row / 2**zoom)))) for row in (y, y + 1))
    expected = sum(south + 0.01 < 0.5 + n / 10 < north - 0.01 for n in range(300))
    assert sum(amount for _, _, amount in shapes(result, *tile)) >= expected


def test_a_stored_shape_that_crosses_itself_once_keeps_its_detail(imported):
    """The ring of a gear with two corners exchanged; of a thousand crossings, tiles would show a few hundred vertices."""
    radius = np.tile([60.0, 61.0], 1_600)
    angles = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    ring = np.column_stack([np.cos(angles) * radius, np.sin(angles) * radius])
    ring[[10, 60]] = ring[[60, 10]]
    gear = {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}
    result = imported(geojson(feature(gear)), budget=SMALL)
    assert info(result)[0] == "stored"
    ((_, drawn, _),) = shapes(result, 0, 0, 0)
    assert shapely.get_num_coordinates(drawn) > 2_000
