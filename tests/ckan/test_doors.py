"""Tiles, TileJSON, panel and status: what each kind of visitor is told.  These tests only look."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import mapbox_vector_tile
import psycopg2
import pytest
from layer_paths import paths, tile_path

from ckanext.hdxjobs.geopreview import tiles
from ckanext.hdxjobs.geopreview.values import Tile

Call = Callable[..., Any]

MVT = "application/vnd.mapbox-vector-tile"
UNKNOWN_LAYER = "0" * 20


@pytest.fixture
def people(world: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = world["people"]
    return found


@pytest.fixture
def layer(world: dict[str, Any]) -> dict[str, Any]:
    """Of a public dataset."""
    found: dict[str, Any] = world["public"]
    return found


@pytest.fixture
def private(world: dict[str, Any]) -> dict[str, Any]:
    """Of a private dataset."""
    found: dict[str, Any] = world["private"]
    return found


def test_tile_0_0_0_holds_every_feature_with_all_fields(layer: dict[str, Any], app: Any) -> None:
    answer = app.get(tile_path(layer))
    features = mapbox_vector_tile.decode(answer.data)["layer"]["features"]
    assert answer.content_type == MVT
    assert len(features) == 300
    assert {"name": "Place 7", "rank": 7} in [feature["properties"] for feature in features]


def test_tilejson_names_absolute_urls_of_the_live_version(layer: dict[str, Any], app: Any) -> None:
    told = json.loads(app.get(paths(layer)["tilejson"]).data)
    assert told["tilejson"] == "3.0.0"
    assert told["tiles"] == [
        f"http://test.ckan.net/hdxjobs/tiles/{layer['layer_id']}/1/{{z}}/{{x}}/{{y}}.mvt"
    ]
    assert told["tiles"] == [layer["tiles"]]
    assert told["vector_layers"][0]["id"] == "layer"


def test_a_public_tile_may_be_cached_and_used_by_other_sites(layer: dict[str, Any], app: Any) -> None:
    headers = app.get(tile_path(layer)).headers
    assert headers["Cache-Control"] == "public, max-age=86400, immutable"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Set-Cookie" not in headers
    assert headers["Vary"] == "Accept-Encoding"


@pytest.fixture
def unprepared(geo_url: str) -> Iterator[None]:
    """All layers are as they are between being published and being prepared."""
    connection = psycopg2.connect(geo_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT prepared_at, table_name FROM hdxjobs.layer WHERE prepared_at IS NOT NULL")
        prepared = cursor.fetchall()
        cursor.execute("UPDATE hdxjobs.layer SET prepared_at = NULL")
        yield
        cursor.executemany("UPDATE hdxjobs.layer SET prepared_at = %s WHERE table_name = %s", prepared)
    connection.close()


@pytest.mark.usefixtures("unprepared")
@pytest.mark.parametrize("door", ["tile", "tilejson"])
def test_samples_are_not_kept_long(layer: dict[str, Any], app: Any, door: str) -> None:
    assert app.get(paths(layer)[door]).headers["Cache-Control"] == "public, max-age=10"


@pytest.mark.usefixtures("unprepared")
def test_samples_of_a_private_layer_expire_too_so_that_a_map_asks_again(
    private: dict[str, Any], people: dict[str, Any], app: Any
) -> None:
    headers = app.get(tile_path(private), headers=people["member"]).headers
    assert headers["Cache-Control"] == "private, no-store, max-age=10"


@pytest.mark.parametrize(
    ("whose", "caching"), [("public", "public, max-age=10"), ("private", "private, no-store, max-age=10")]
)
def test_a_sample_that_was_begun_before_the_layer_was_prepared_is_not_kept_long(
    world: dict[str, Any],
    people: dict[str, Any],
    app: Any,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
    caching: str,
) -> None:
    sample = Tile(b"tile", "preview", 0)
    monkeypatch.setattr(tiles.TileReader, "tile", lambda *_, **__: sample)
    headers = app.get(tile_path(world[whose]), headers=people["member"]).headers
    assert headers["Cache-Control"] == caching


def test_tilejson_tells_that_a_layer_is_prepared(layer: dict[str, Any], app: Any) -> None:
    assert app.get(paths(layer)["tilejson"]).json["prepared"] is True


@pytest.mark.usefixtures("unprepared")
def test_tilejson_tells_that_tiles_are_samples(layer: dict[str, Any], app: Any) -> None:
    assert app.get(paths(layer)["tilejson"]).json["prepared"] is False


def test_a_header_tells_what_kind_of_tile_it_is(layer: dict[str, Any], app: Any) -> None:
    headers = app.get(tile_path(layer)).headers
    assert headers["X-Tile"] == "live"
    assert headers["Access-Control-Expose-Headers"] == "ETag, X-Tile"
    assert app.get(tile_path(layer, "5/1/31")).headers["X-Tile"] == "live"


def test_a_header_tells_how_many_features_a_tile_lacks(
    layer: dict[str, Any], app: Any, monkeypatch: Any
) -> None:
    crowded = Tile(b"tile", "stored", 12)
    monkeypatch.setattr(tiles.TileReader, "tile", lambda *_, **__: crowded)
    assert app.get(tile_path(layer)).headers["X-Tile"] == "stored; dropped=12"


def test_other_sites_get_no_leave_to_use_tiles_where_the_setting_says_so(
    layer: dict[str, Any], app: Any, ckan_config: Any
) -> None:
    ckan_config["ckanext.hdxjobs.tiles.other_sites"] = False
    for door in ("tile", "tilejson"):
        headers = app.get(paths(layer)[door]).headers
        assert headers["Cache-Control"].startswith("public")
        assert "Access-Control-Allow-Origin" not in headers


def test_a_tile_that_was_asked_for_lately_asks_no_database(
    layer: dict[str, Any], app: Any, monkeypatch: Any
) -> None:
    first = app.get(tile_path(layer, "1/1/0"))
    monkeypatch.setattr(tiles.TileReader, "_one", lambda *_: pytest.fail("asked"))
    again = app.get(tile_path(layer, "1/1/0"))
    assert (again.data, again.headers["ETag"]) == (first.data, first.headers["ETag"])


def _names(answer: Any) -> set[str]:
    features = mapbox_vector_tile.decode(answer.data)["layer"]["features"]
    return {feature["properties"].get("name") for feature in features}


def test_a_tile_can_be_asked_for_some_features(layer: dict[str, Any], app: Any) -> None:
    answer = app.get(tile_path(layer), query_string={"filter": "rank < 2 OR name = 'Place 299'"})
    assert _names(answer) == {"Place 0", "Place 1", "Place 299"}
    assert answer.headers["ETag"] != app.get(tile_path(layer)).headers["ETag"]


def test_a_filter_may_be_json(layer: dict[str, Any], app: Any) -> None:
    asked = json.dumps({"op": "=", "args": [{"property": "rank"}, 7]})
    answer = app.get(tile_path(layer), query_string={"filter": asked, "filter-lang": "cql2-json"})
    assert _names(answer) == {"Place 7"}


def test_a_tile_can_be_asked_for_some_fields(layer: dict[str, Any], app: Any) -> None:
    answer = app.get(tile_path(layer), query_string={"fields": "rank"})
    assert _names(answer) == {None}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"filter": "rank >"}, "cannot be read"),
        ({"filter": "height > 1"}, "no such field: height"),
        ({"fields": "height"}, "no such field: height"),
        ({"filter": "rank = 'abc'"}, "abc"),
        ({"filter": "rank = name"}, "cannot compare"),
        ({"filter": "rank = 1", "filter-lang": "sql"}, "filter-lang"),
        ({"filter": "name = '\0'"}, ""),
    ],
)
def test_what_cannot_be_asked_for_is_400_and_says_why(
    layer: dict[str, Any], app: Any, query: dict[str, str], said: str
) -> None:
    answer = app.get(tile_path(layer), query_string=query)
    assert answer.status_code == 400
    assert said in answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_a_known_etag_answers_304_without_a_body(layer: dict[str, Any], app: Any) -> None:
    etag = app.get(tile_path(layer)).headers["ETag"]
    again = app.get(tile_path(layer), headers={"If-None-Match": etag})
    assert not etag.startswith("W/")
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == etag


def test_a_tile_is_compressed_for_whoever_can_read_that_under_an_etag_of_its_own(
    layer: dict[str, Any], app: Any
) -> None:
    plain = app.get(tile_path(layer))
    packed = app.get(tile_path(layer), headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_head_tells_the_same_without_a_body(layer: dict[str, Any], app: Any) -> None:
    answer = app.test_client().head(tile_path(layer))
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["ETag"] == app.get(tile_path(layer)).headers["ETag"]


def test_an_empty_tile_is_204(layer: dict[str, Any], app: Any) -> None:
    answer = app.get(tile_path(layer, "5/1/31"))
    assert (answer.status_code, answer.data) == (204, b"")


@pytest.mark.parametrize(
    "place",
    [
        "0/1/0",
        "0/0/1",
        "25/0/0",
        "-1/0/0",
        "a/0/0",
        "1/0/2",
        "0/0/0.5",
        "99999999999/0/0",
        "٣/0/0",
        "1e1/0/0",
    ],
)
def test_a_place_that_cannot_be_is_400_before_any_sql(
    app: Any, world: Any, ckan_config: Any, place: str
) -> None:
    ckan_config["ckanext.hdxjobs.postgis.tiles_url"] = "postgresql://nobody@127.0.0.1:9/geo"
    answer = app.get(f"/hdxjobs/tiles/{UNKNOWN_LAYER}/1/{place}.mvt")
    assert answer.status_code == 400
    assert answer.content_type.startswith("text/plain")


@pytest.mark.parametrize("version", ["2", "0", "x", "99999999999999999999"])
def test_a_version_that_is_not_live_is_404(layer: dict[str, Any], app: Any, version: Any) -> None:
    assert app.get(tile_path(layer, version=version)).status_code == 404


@pytest.mark.parametrize("layer_id", [UNKNOWN_LAYER, "x", "a' OR 1=1 --", "%00", "A" * 20])
def test_a_layer_that_does_not_exist_is_404(world: Any, app: Any, layer_id: str) -> None:
    assert app.get(f"/hdxjobs/tiles/{layer_id}.json").status_code == 404


def test_the_map_database_away_is_503_with_retry_after(
    layer: dict[str, Any], app: Any, ckan_config: Any
) -> None:
    ckan_config["ckanext.hdxjobs.postgis.tiles_url"] = "postgresql://nobody@127.0.0.1:9/geo"
    answer = app.get(tile_path(layer))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_health_is_told_to_anybody(app: Any) -> None:
    answer = app.get("/hdxjobs/health")
    assert (answer.status_code, answer.json) == (200, {"map_database": "ok"})
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_health_is_503_and_tells_no_secret_when_the_map_database_is_away(app: Any, ckan_config: Any) -> None:
    ckan_config["ckanext.hdxjobs.postgis.tiles_url"] = "postgresql://nobody:secret@127.0.0.1:9/geo"
    answer = app.get("/hdxjobs/health")
    assert (answer.status_code, answer.json) == (503, {"map_database": "unavailable"})
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("door", ["tile", "tilejson", "panel", "status"])
@pytest.mark.parametrize("visitor", ["anonymous", "stranger", "member", "editor", "sysadmin"])
def test_private_data_is_seen_by_its_organization_only(
    private: dict[str, Any], people: dict[str, Any], app: Any, door: str, visitor: str
) -> None:
    answer = app.get(paths(private)[door], headers=people[visitor])
    assert (answer.status_code == 200) is (visitor in ("member", "editor", "sysadmin"))
    if door in ("tile", "tilejson"):
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("visitor", ["anonymous", "stranger"])
@pytest.mark.parametrize("door", ["tile", "tilejson"])
def test_what_may_not_be_seen_answers_byte_for_byte_like_what_does_not_exist(
    private: dict[str, Any], people: dict[str, Any], app: Any, visitor: str, door: str
) -> None:
    forbidden = app.get(paths(private)[door], headers=people[visitor])
    missing = app.get(paths(private | {"layer_id": UNKNOWN_LAYER})[door], headers=people[visitor])
    assert forbidden.status_code == 404
    assert forbidden.data == missing.data
    assert dict(forbidden.headers) == dict(missing.headers)


@pytest.mark.parametrize(
    ("visitor", "codes"), [("anonymous", [200, 403]), ("editor", [200, 403]), ("sysadmin", [200, 200])]
)
def test_the_list_of_a_dataset_is_for_who_sees_it_and_the_sites_for_sysadmins(
    layer: dict[str, Any], people: dict[str, Any], app: Any, visitor: str, codes: list[int]
) -> None:
    urls = [
        f"/api/action/hdx_geopreview_list?package_id={layer['package_id']}",
        "/api/action/hdx_geopreview_list",
    ]
    assert [app.get(url, headers=people[visitor]).status_code for url in urls] == codes


def test_the_panel_tells_the_state_in_a_header(layer: dict[str, Any], app: Any) -> None:
    answer = app.get(paths(layer)["panel"])
    assert answer.headers["X-Hdxjobs-State"] == "ready"
    assert answer.content_type.startswith("text/html")


def test_the_list_can_be_narrowed_to_a_state(layer: dict[str, Any], call: Call) -> None:
    assert {found["state"] for found in call("hdx_geopreview_list", state="ready")} == {"ready"}
    assert call("hdx_geopreview_list", state="failed") == []


def test_the_status_of_an_unknown_resource_is_404_and_names_it(world: Any, app: Any) -> None:
    answer = app.get("/api/action/hdx_geopreview_status?id=nobody")
    assert answer.status_code == 404
    assert "nobody" in answer.json["error"]["message"]


@pytest.mark.parametrize("visitor", ["anonymous", "stranger", "member"])
@pytest.mark.parametrize("action", ["hdx_geopreview_submit", "hdx_geopreview_delete"])
def test_others_than_editors_may_neither_submit_nor_delete(
    layer: dict[str, Any], people: dict[str, Any], app: Any, action: str, visitor: str
) -> None:
    answer = app.post(f"/api/action/{action}", json={"id": layer["resource_id"]}, headers=people[visitor])
    assert answer.status_code == 403


@pytest.mark.parametrize("visitor", ["anonymous", "member", "stranger"])
def test_retry_is_for_editors(
    layer: dict[str, Any], people: dict[str, Any], app: Any, visitor: str, call: Call
) -> None:
    path = f"/dataset/{layer['package_id']}/resource/{layer['resource_id']}/preview-retry"
    answer = app.post(path, headers=people[visitor], follow_redirects=False)
    assert answer.status_code in (302, 403)
    assert call("hdx_geopreview_status", id=layer["resource_id"])["generation"] == 1
