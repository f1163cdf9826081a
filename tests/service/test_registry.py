"""Schema, roles and the life of generations in the map database."""

from __future__ import annotations

import dataclasses
import os

import makers
import psycopg2
import pytest
from conftest import AMPLE, decode

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import db, load, publish
from ckanext.hdxjobs.geopreview.values import Progress


@pytest.fixture
def loaded(geo, detected, readers):
    """Bytes as loaded tables, not yet published."""

    def run(content, *, resource_id=None, generation=1):
        layers, _ = detected(content, resource_id=resource_id, generation=generation)
        return tuple(
            load.load(
                layer,
                dsn=geo.loader,
                caps=AMPLE,
                max_columns=1500,
                readers=readers,
                progress=lambda far: None,
            )
            for layer in layers
        )

    return run


@pytest.fixture
def publish_towns(geo, loaded, resource_id):
    """Publish a generation of the test's resource; its tile sets."""

    def run(generation, content=None):
        tables = loaded(content or makers.towns(), resource_id=resource_id, generation=generation)
        return publish.publish(tables, resource_id=resource_id, generation=generation, dsn=geo.loader)

    return run


def tables_of(geo, resource_id):
    return {
        name
        for (name,) in geo.rows(
            "SELECT t.tablename FROM pg_tables t JOIN hdxjobs.layer l ON l.table_name = t.tablename WHERE l.resource_id = %s",
            resource_id,
        )
    }


def test_init_may_be_run_again_and_keeps_the_layers(geo, tile_reader, publish_towns):
    (tile_set,) = publish_towns(1)
    db.init(geo.admin, loader_url=geo.loader, tiles_url=geo.tiles)
    assert tile_reader.layer(tile_set.layer_id) == tile_set


def test_one_role_for_everything_is_possible(geo, tile_reader):
    db.init(geo.admin, loader_url=geo.loader, tiles_url=geo.loader)
    db.init(geo.admin, loader_url=geo.loader, tiles_url=geo.tiles)
    assert tile_reader.layer("nothing") is None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM hdxjobs.layer",
        "SELECT * FROM hdxjobs.resource",
        "SELECT hdxjobs.tile_properties_v2('[]', false)",
        "CREATE TABLE hdxjobs.x (a int)",
        "CREATE TABLE public.x (a int)",
        "DELETE FROM hdxjobs.layer",
    ],
)
def test_the_tiles_role_can_do_nothing_but_read_tiles(geo, statement):
    connection = psycopg2.connect(geo.tiles)
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        connection.cursor().execute(statement)
    connection.close()


def test_the_tiles_role_cannot_read_a_layers_table(geo, loaded):
    (table,) = loaded(makers.towns())
    connection = psycopg2.connect(geo.tiles)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection.cursor().execute(f"SELECT * FROM hdxjobs.{table.table_name}")
    connection.close()


def test_the_functions_have_comments_and_are_not_for_everybody(geo):
    rows = geo.rows(
        "SELECT p.proname, obj_description(p.oid), has_function_privilege('public', p.oid, 'EXECUTE')"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'hdxjobs'"
    )
    assert len(rows) == 30
    assert all(comment and not public for _, comment, public in rows)


def test_a_loaded_layer_is_not_served_before_it_is_published(tile_reader, loaded):
    (table,) = loaded(makers.towns())
    assert tile_reader.layer(table.layer.layer_id) is None
    assert tile_reader.tile(table.layer.layer_id, 1, 0, 0, 0) is None


def test_what_the_registry_tells_is_what_was_published(tile_reader, publish_towns, resource_id):
    (tile_set,) = publish_towns(1)
    assert tile_reader.layer(tile_set.layer_id) == tile_set
    assert tile_set.resource_id == resource_id


def test_a_new_generation_takes_over_and_the_old_tiles_stay_for_a_while(geo, tile_reader, publish_towns):
    (first,) = publish_towns(1)
    one = makers.geojson(makers.feature(makers.point(1, 2)))
    (second,) = publish_towns(2, one)
    assert second.layer_id == first.layer_id
    assert tile_reader.layer(first.layer_id).generation == 2
    assert len(decode(tile_reader.tile(first.layer_id, 1, 0, 0, 0).body)) == 3
    assert len(decode(tile_reader.tile(first.layer_id, 2, 0, 0, 0).body)) == 1


def test_old_generations_are_dropped_after_their_grace(geo, tile_reader, publish_towns, resource_id):
    (tile_set,) = publish_towns(1)
    publish_towns(2)
    publish.drop_old(dsn=geo.loader, grace_s=3600)
    assert len(tables_of(geo, resource_id)) == 2
    publish.drop_old(dsn=geo.loader, grace_s=0)
    assert len(tables_of(geo, resource_id)) == 1
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0) is None
    assert tile_reader.tile(tile_set.layer_id, 2, 0, 0, 0)


def test_an_older_generation_never_replaces_a_newer_one(geo, tile_reader, loaded, publish_towns, resource_id):
    slow = loaded(makers.towns(), resource_id=resource_id)
    (newer,) = publish_towns(2)
    with pytest.raises(errors.Superseded):
        publish.publish(slow, resource_id=resource_id, generation=1, dsn=geo.loader)
    assert tile_reader.layer(newer.layer_id).generation == 2
    assert publish.discard(resource_id=resource_id, generation=1, dsn=geo.loader) == 1
    assert len(tables_of(geo, resource_id)) == 1


def test_loading_what_is_live_already_is_superseded_and_leaves_the_layer_alone(
    tile_reader, loaded, publish_towns, resource_id
):
    (tile_set,) = publish_towns(1)
    with pytest.raises(errors.Superseded):
        loaded(makers.towns(), resource_id=resource_id)
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)


def test_discarding_never_touches_what_is_live(geo, tile_reader, publish_towns, resource_id):
    (tile_set,) = publish_towns(1)
    assert publish.discard(resource_id=resource_id, generation=1, dsn=geo.loader) == 0
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0)


def test_a_layer_that_the_new_file_lacks_is_no_longer_served(tile_reader, publish_towns):
    both = makers.kml(
        ("A", makers.placemark("a", 1, 2)),
        ("B", makers.placemark("b", 1, 2)),
        ("C", makers.placemark("c", 1, 2)),
    )
    _, gone, _ = publish_towns(1, both)
    fewer = makers.kml(("A", makers.placemark("a", 1, 2)), ("C", makers.placemark("c", 1, 2)))
    publish_towns(2, fewer)
    assert tile_reader.layer(gone.layer_id) is None


def test_a_deleted_resource_serves_nothing_at_once_and_leaves_no_table(
    geo, tile_reader, publish_towns, resource_id
):
    (tile_set,) = publish_towns(1)
    assert publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1) == 1
    assert tile_reader.layer(tile_set.layer_id) is None
    assert tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0) is None
    assert resource_id not in publish.resource_ids(geo.loader)


def test_a_deletion_may_be_repeated(geo, publish_towns, resource_id):
    publish_towns(1)
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1)
    assert publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1) == 0


def test_no_layer_appears_after_a_deletion_in_the_middle_of_an_import(geo, loaded, resource_id):
    tables = loaded(makers.towns(), resource_id=resource_id, generation=4)
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=4)
    with pytest.raises(errors.Superseded):
        publish.publish(tables, resource_id=resource_id, generation=4, dsn=geo.loader)
    with pytest.raises(errors.Superseded):
        loaded(makers.towns(), resource_id=resource_id, generation=4)
    assert tables_of(geo, resource_id) == set()


def test_a_resource_may_come_back_after_its_deletion(tile_reader, geo, publish_towns, resource_id):
    publish_towns(1)
    publish.retire(resource_id=resource_id, dsn=geo.loader, generation=1)
    (tile_set,) = publish_towns(2)
    assert tile_reader.layer(tile_set.layer_id).generation == 2


def test_what_a_killed_import_left_is_dropped_once_a_newer_generation_lives(
    geo, loaded, publish_towns, resource_id
):
    loaded(makers.towns(), resource_id=resource_id)
    publish_towns(2)
    publish.drop_old(dsn=geo.loader, grace_s=3600)
    assert len(tables_of(geo, resource_id)) == 1


def test_what_a_killed_import_left_long_ago_is_dropped(geo, loaded, resource_id):
    loaded(makers.towns(), resource_id=resource_id)
    publish.drop_old(dsn=geo.loader, grace_s=0)
    assert len(tables_of(geo, resource_id)) == 1
    connection = psycopg2.connect(geo.admin)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE hdxjobs.layer SET created_at = now() - interval '2 days' WHERE resource_id = %s",
            [resource_id],
        )
    connection.close()
    publish.drop_old(dsn=geo.loader, grace_s=0)
    assert tables_of(geo, resource_id) == set()


def test_an_import_that_is_repeated_after_a_kill_starts_afresh(geo, loaded, tile_reader, resource_id):
    loaded(makers.towns(), resource_id=resource_id)
    tables = loaded(makers.geojson(makers.feature(makers.point(1, 2))), resource_id=resource_id)
    (tile_set,) = publish.publish(tables, resource_id=resource_id, generation=1, dsn=geo.loader)
    assert len(decode(tile_reader.tile(tile_set.layer_id, 1, 0, 0, 0).body)) == 1


def test_a_reader_that_dies_in_the_middle_of_a_copy_leaves_no_table(geo, detected, readers, resource_id):
    (layer,), _ = detected(makers.towns(), resource_id=resource_id)
    with pytest.raises(errors.DetectError):
        load.load(
            dataclasses.replace(layer, name_in_file="no such layer"),
            dsn=geo.loader, caps=AMPLE, max_columns=1500, readers=readers, progress=lambda far: None,
        )  # fmt: skip
    assert tables_of(geo, resource_id) == set()


def test_a_database_that_is_away_is_told_as_such(detected, readers):
    (layer,), _ = detected(makers.towns())
    with pytest.raises(errors.LoadError) as caught:
        load.load(
            layer,
            dsn="postgresql://x@127.0.0.1:1/x",
            caps=AMPLE,
            max_columns=1500,
            readers=readers,
            progress=lambda far: None,
        )
    assert caught.value.code == "database-unavailable"
    assert caught.value.failure.retryable


def test_a_database_that_was_not_set_up_is_away_until_it_is_and_the_log_says_what_to_run(caplog):
    bare = os.environ["HDXJOBS_TEST_PG_URL"]
    with pytest.raises(errors.PublishError) as caught:
        publish.drop_old(dsn=bare, grace_s=0)
    assert caught.value.code == "database-unavailable"
    assert "ckan hdxjobs init-db" in caplog.text


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("disk_full", "disk-full"),
        ("deadlock_detected", "database-unavailable"),
        ("query_canceled", "database-unavailable"),
        ("too_many_connections", "database-unavailable"),
        ("read_only_sql_transaction", "database-unavailable"),
    ],
)
def test_trouble_of_the_database_may_pass_and_has_its_code(geo, condition, code):
    with pytest.raises(errors.LoadError) as caught, db.session(geo.loader, error=errors.LoadError) as session:
        session.cursor().execute(f"DO $$BEGIN RAISE {condition}; END$$")
    assert (caught.value.code, caught.value.failure.kind) == (code, "transient")


def test_progress_of_a_file_that_does_not_say_how_much_it_holds_counts_features(geo, detected, readers):
    (layer,), _ = detected(makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(100_000))))
    told = []
    load.load(layer, dsn=geo.loader, caps=AMPLE, max_columns=1500, readers=readers, progress=told.append)
    assert len(told) > 1
    assert [far.done for far in told] == sorted({far.done for far in told})
    assert (told[-1].done, told[-1].total, told[-1].unit) == (100_000, None, "features")
    shares = [far.share for far in told]
    assert None not in shares
    assert shares == sorted(shares)


def test_progress_of_a_file_that_says_so_names_the_whole(geo, detected, readers, tmp_path):
    (layer,), _ = detected(makers.zipped(makers.shapefile(tmp_path)))
    told = []
    load.load(layer, dsn=geo.loader, caps=AMPLE, max_columns=1500, readers=readers, progress=told.append)
    assert told[-1] == Progress(layer.feature_count, layer.feature_count, "features")
