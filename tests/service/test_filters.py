"""Tiles of chosen features and fields: CQL2 becomes SQL, and nothing else does."""

from __future__ import annotations

import json

import psycopg2
import pytest
from conftest import decode
from makers import feature, geojson, point
from psycopg2 import errors

from ckanext.hdxjobs.geopreview.pyramid import Budget

SMALL = Budget(rows=150, vertices=3_000, walk_vertices=300, max_zoom=16)


def tile(result, options, z=0, x=0, y=0):
    """(features, state) of a tile with options."""
    tile_set = result.tile_sets[0]
    ((mvt, state),) = result.geo.rows(
        "SELECT mvt, state FROM hdxjobs.tile_v2(%s, 1, %s, %s, %s, %s)",
        *(tile_set.layer_id, z, x, y, json.dumps(options)),
    )
    return decode(bytes(mvt)), state


def having(op, *args):
    return {"filter": {"op": op, "args": list(args)}}


def field(name):
    return {"property": name}


PLACES = geojson(
    *(
        feature(point(n, n), n=n, half=n / 2, kind="even" if n % 2 == 0 else "odd", day=f"2024-01-{n + 1:02}")
        for n in range(10)
    ),
    feature(point(20, 20), n=None, half=None, kind='it\'s "quoted" 100%', day=None),
)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 11),
        (having("=", field("n"), 3), 1),
        (having(">", field("n"), 3.5), 6),
        (having("<=", field("n"), field("half")), 1),
        (having("<>", field("kind"), "odd"), 6),
        (having("between", field("half"), 1, 2), 3),
        (having("in", field("n"), [1, 2, 99]), 2),
        (having("like", field("kind"), "ev%"), 5),
        (having("isNull", field("n")), 1),
        (having("=", field("kind"), 'it\'s "quoted" 100%'), 1),
        (having("<", field("day"), {"date": "2024-01-03"}), 2),
        (having("and", having("=", field("kind"), "odd")["filter"], having(">", field("n"), 4)["filter"]), 3),
        (having("or", having("=", field("n"), 1)["filter"], having("=", field("n"), 2)["filter"]), 2),
        (having("not", having("=", field("kind"), "odd")["filter"]), 6),
    ],
)
def test_a_filter_keeps_what_fulfils_it(imported, options, count):
    features, state = tile(imported(PLACES), options)
    assert (len(features), state) == (count, "live")


@pytest.mark.parametrize(
    "options",
    [
        having("=", field("hdx_fid"), 1),
        having("=", field("c1"), 1),
        having("=", field("n; DROP TABLE hdxjobs.layer"), 1),
        having("= 1 OR 1 =", field("n"), 1),
        having("s_intersects", field("n"), 1),
        having("=", field("n"), field("kind")),
        having("<", field("kind"), field("half")),
        having("="),
        having("=", 1, 1),
        having("=", field("n"), {"op": "pg_sleep", "args": [9]}),
        {"filter": {"op": "=", "args": "n"}},
        {"filter": "n = 1"},
        {"filter": [1]},
        {"fields": ["nothing"]},
    ],
)
def test_what_is_no_filter_of_these_fields_is_refused(imported, options):
    with pytest.raises(errors.InvalidParameterValue):
        tile(imported(PLACES), options)


@pytest.mark.parametrize(
    "text",
    ["' OR true --", "\\' OR true --", "$$ OR true", "%s", "{}", "';SELECT pg_sleep(9)--", "\0x", "$1"],
)
def test_a_value_is_never_more_than_a_value(imported, text):
    result = imported(PLACES)
    try:
        features, _ = tile(result, having("=", field("kind"), text))
    except (ValueError, psycopg2.DataError):
        features = []
    assert features == []


def test_a_filter_without_end_is_refused(imported):
    deep = having("=", field("n"), 1)["filter"]
    for _ in range(30):
        deep = {"op": "not", "args": [deep]}
    with pytest.raises(errors.InvalidParameterValue):
        tile(imported(PLACES), {"filter": deep})


def test_chosen_fields_are_all_that_a_tile_has(imported):
    features, _ = tile(imported(PLACES), {"fields": ["kind"]})
    assert {key for item in features for key in item["properties"]} == {"kind"}


def test_a_heavy_tile_is_thinned_for_its_filter_and_counts_all(imported):
    spots = (feature(point(n % 60, n % 50), n=n, kind=n % 3) for n in range(1_500))
    features, state = tile(imported(geojson(*spots), budget=SMALL), having("=", field("kind"), 1))
    assert state == "filtered"
    assert {item["properties"]["kind"] for item in features} == {1}
    assert sum(item["properties"].get("point_count", 1) for item in features) == 500


def test_a_heavy_tile_shows_its_large_shapes_by_their_filter(imported):
    rings = [
        [[x + 8 * (k / 1000), 10 + (k % 7) * 0.01] for k in range(1000)] + [[x + 8, 40], [x, 40], [x, 10]]
        for x in (-60, 0, 60)
    ]
    shapes = (
        feature({"type": "Polygon", "coordinates": [ring]}, name=str(n)) for n, ring in enumerate(rings)
    )
    result = imported(geojson(*shapes), budget=Budget(rows=150, vertices=2_000, walk_vertices=300))
    features, state = tile(result, having("=", field("name"), "1"))
    assert state == "filtered"
    assert [item["properties"]["name"] for item in features] == ["1"]


def test_the_tiles_role_may_ask_for_fields_and_features(imported, geo):
    result = imported(PLACES)
    connection = psycopg2.connect(geo.tiles)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mvt FROM hdxjobs.tile_v2(%s, 1, 0, 0, 0, %s)",
            [result.tile_sets[0].layer_id, json.dumps(having("=", field("n"), 3) | {"fields": ["n"]})],
        )
        features = decode(bytes(cursor.fetchone()[0]))
    connection.close()
    assert [item["properties"] for item in features] == [{"n": 3}]


def test_a_filter_works_before_the_layer_is_prepared(imported, geo):
    result = imported(PLACES)
    geo.rows(
        "UPDATE hdxjobs.layer SET prepared_at = NULL WHERE layer_id = %s RETURNING 1",
        result.tile_sets[0].layer_id,
    )
    features, _ = tile(result, having(">", field("n"), 6))
    assert len(features) == 3
