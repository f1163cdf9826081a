"""What tile servers without users of their own can see: public layers, and nothing else."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from conftest import decode
from makers import feature, geojson, kml, placemark, point, towns

from ckanext.hdxjobs.geopreview import publish


@pytest.fixture(scope="session")
def tileserver(geo):
    """Run SQL as a tile server's own role, a member of hdxjobs_public."""
    role = f"{urlsplit(geo.admin).path[1:]}_server"
    admin = psycopg2.connect(geo.admin)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE hdxjobs_public")
    parts = urlsplit(geo.admin)
    netloc = f"{role}:secret@{parts.netloc.rpartition('@')[2]}"
    connection = psycopg2.connect(urlunsplit(parts._replace(netloc=netloc)))
    connection.autocommit = True

    def run(statement, *params):
        with connection.cursor() as cursor:
            cursor.execute(statement, params or None)
            return cursor.fetchall()

    yield run
    connection.close()
    admin.cursor().execute(f"DROP ROLE {role}")
    admin.close()


def functions(tileserver):
    return {
        name
        for (name,) in tileserver(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = 'hdxjobs_public'"
        )
    }


def shared(tileserver, layer_id, query="{}"):
    ((mvt,),) = tileserver(f"SELECT hdxjobs_public.layer_{layer_id}(0, 0, 0, %s)", query)
    return None if mvt is None else decode(bytes(mvt))


def test_a_shared_layer_has_a_function_that_gives_the_same_tiles(geo, imported, tileserver, resource_id):
    result = imported(towns(), resource_id=resource_id)
    assert publish.share(resource_id=resource_id, shared=True, dsn=geo.loader) == 1
    assert shared(tileserver, result.tile_sets[0].layer_id) == result.tile()


def test_its_comment_is_tilejson(geo, imported, tileserver, resource_id):
    result = imported(towns(), resource_id=resource_id)
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    ((comment,),) = tileserver(
        "SELECT obj_description(p.oid) FROM pg_proc p WHERE p.proname = %s",
        f"layer_{result.tile_sets[0].layer_id}",
    )
    told = json.loads(comment)
    assert told["vector_layers"][0]["id"] == "layer"
    assert told["bounds"] == pytest.approx(result.tile_sets[0].bbox_lonlat)


def test_a_shared_tile_takes_fields_and_a_filter(geo, imported, tileserver, resource_id):
    result = imported(geojson(*(feature(point(n, n), n=n, m=-n) for n in range(5))), resource_id=resource_id)
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    query = {"fields": "m", "filter": {"op": ">", "args": [{"property": "n"}, 2]}}
    for asked in (query, query | {"filter": json.dumps(query["filter"])}):
        found = shared(tileserver, result.tile_sets[0].layer_id, json.dumps(asked))
        assert [item["properties"] for item in found] == [{"m": -3}, {"m": -4}]


def test_a_tile_server_can_list_what_it_has(geo, imported, tileserver, resource_id):
    mine = imported(towns(), resource_id=resource_id).tile_sets[0]
    other = imported(towns()).tile_sets[0]
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    listed = dict(tileserver("SELECT layer, tilejson FROM hdxjobs_public.layers()"))
    assert listed[f"layer_{mine.layer_id}"]["maxzoom"] == mine.maxzoom
    assert f"layer_{other.layer_id}" not in listed


def test_a_layer_that_is_not_shared_has_no_function(imported, tileserver):
    result = imported(towns())
    assert f"layer_{result.tile_sets[0].layer_id}" not in functions(tileserver)


def test_a_layer_that_becomes_private_is_gone_at_once(geo, imported, tileserver, resource_id):
    layer_id = imported(towns(), resource_id=resource_id).tile_sets[0].layer_id
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    publish.share(resource_id=resource_id, shared=False, dsn=geo.loader)
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        shared(tileserver, layer_id)


def test_a_deleted_layer_is_gone_at_once(geo, imported, tileserver, resource_id):
    layer_id = imported(towns(), resource_id=resource_id).tile_sets[0].layer_id
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1)
    assert f"layer_{layer_id}" not in functions(tileserver)


def test_a_new_generation_is_shared_as_the_one_before(geo, imported, tileserver, resource_id):
    both = kml(("A", placemark("a", 1, 2)), ("B", placemark("b", 1, 2)), ("C", placemark("c", 1, 2)))
    fewer = kml(("A", placemark("a", 1, 2)), ("C", placemark("c", 1, 2)))
    first = imported(both, resource_id=resource_id)
    publish.share(resource_id=resource_id, shared=True, dsn=geo.loader)
    imported(fewer, resource_id=resource_id, generation=2)
    kept, gone, _ = (tile_set.layer_id for tile_set in first.tile_sets)
    assert shared(tileserver, kept)
    assert f"layer_{gone}" not in functions(tileserver)


def test_renewing_shares_nothing_that_was_taken_back(geo, imported):
    kept, taken_back = (imported(towns()).tile_sets[0].resource_id for _ in range(2))
    publish.share(resource_id=kept, shared=True, dsn=geo.loader)
    publish.share(resource_id=taken_back, shared=True, dsn=geo.loader)
    publish.unshare([taken_back], dsn=geo.loader)
    assert publish.renew_shares([kept, taken_back], dsn=geo.loader) == 1
    (left,) = publish.shares(dsn=geo.loader, resource_ids=[taken_back])
    assert (left.shared, left.valid) == (False, False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM hdxjobs.layer",
        "SELECT hdxjobs.tile_v1('x', 1, 0, 0, 0)",
        "SELECT hdxjobs.shared_tile_v1('x', 0, 0, 0, '{}')",
        "SELECT hdxjobs.share_v1('private', true)",
        "SELECT hdxjobs.renew_shares_v1('{private}')",
        "CREATE FUNCTION hdxjobs_public.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE hdxjobs_public.x (a int)",
    ],
)
def test_a_tile_servers_role_can_do_nothing_else(tileserver, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        tileserver(statement)
