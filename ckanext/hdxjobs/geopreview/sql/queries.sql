-- name: lock_schema
SELECT pg_advisory_xact_lock(hashtext('hdxjobs.schema'));

-- name: postgis_schema
SELECT n.nspname
FROM pg_extension AS e
INNER JOIN pg_namespace AS n ON e.extnamespace = n.oid
WHERE e.extname = 'postgis';

-- name: fix_search_path
SET LOCAL search_path = pg_catalog, {postgis}, pg_temp;

-- name: note_version
INSERT INTO hdxjobs.schema_version (version)
VALUES (%(version)s)
ON CONFLICT (version) DO NOTHING;

-- name: overtaken
SELECT live_gen >= %(generation)s OR tombstone_gen >= %(generation)s
FROM hdxjobs.resource
WHERE resource_id = %(resource_id)s;

-- name: lock_resource
SELECT live_gen
FROM hdxjobs.resource
WHERE resource_id = %(resource_id)s
FOR UPDATE;

-- name: add_resource
INSERT INTO hdxjobs.resource (resource_id)
VALUES (%(resource_id)s)
ON CONFLICT (resource_id) DO NOTHING;

-- name: drop_table
DROP TABLE IF EXISTS {table};

-- name: create_table
CREATE TABLE {table} ({columns});

-- name: copy_rows
COPY {table} FROM STDIN (FORMAT binary);

-- name: stage_layer
INSERT INTO hdxjobs.layer (
    layer_id, generation, resource_id, table_name, name, geometry_type, feature_count, bbox_lonlat, fields, source_crs
)
VALUES (
    %(layer_id)s, %(generation)s, %(resource_id)s, %(table_name)s, %(name)s, %(geometry_type)s, %(feature_count)s,
    %(bbox_lonlat)s, %(fields)s, %(source_crs)s
)
ON CONFLICT (layer_id, generation) DO UPDATE SET
    name = excluded.name,
    geometry_type = excluded.geometry_type,
    feature_count = excluded.feature_count,
    bbox_lonlat = excluded.bbox_lonlat,
    fields = excluded.fields,
    source_crs = excluded.source_crs,
    created_at = now(),
    published_at = NULL,
    retired_at = NULL;

-- name: index_table
CREATE INDEX IF NOT EXISTS {index} ON {table} USING gist (hdx_geom);

-- name: analyze_table
ANALYZE {table};

-- name: lock_timeout
SET LOCAL lock_timeout = '5s';

-- name: publish_layer
UPDATE hdxjobs.layer
SET published_at = now(), retired_at = NULL, minzoom = %(minzoom)s, maxzoom = %(maxzoom)s
WHERE layer_id = %(layer_id)s AND generation = %(generation)s;

-- name: flip
UPDATE hdxjobs.resource
SET live_gen = %(generation)s
WHERE resource_id = %(resource_id)s;

-- name: retire_older
UPDATE hdxjobs.layer
SET retired_at = now()
WHERE resource_id = %(resource_id)s AND generation < %(generation)s AND retired_at IS NULL;

-- name: tombstone
INSERT INTO hdxjobs.resource (resource_id, tombstone_gen)
VALUES (%(resource_id)s, %(generation)s)
ON CONFLICT (resource_id) DO UPDATE
SET tombstone_gen = greatest(hdxjobs.resource.tombstone_gen, excluded.tombstone_gen);

-- name: bury
UPDATE hdxjobs.layer
SET retired_at = coalesce(retired_at, now()), published_at = NULL
WHERE resource_id = %(resource_id)s AND generation <= %(generation)s
RETURNING table_name;

-- name: staged_tables
SELECT l.table_name
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
WHERE l.resource_id = %(resource_id)s AND l.generation = %(generation)s AND r.live_gen <> l.generation;

-- name: droppable_tables
-- Retired long enough; buried by a deletion; or left behind by an import that was killed.
SELECT l.table_name
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
WHERE
    l.generation <= r.tombstone_gen
    OR l.retired_at < now() - make_interval(secs => %(grace_s)s)
    OR (l.published_at IS NULL AND l.generation < r.live_gen)
    OR (l.published_at IS NULL AND l.created_at < now() - make_interval(secs => %(abandoned_s)s));

-- name: forget_table
DELETE FROM hdxjobs.layer
WHERE table_name = %(table_name)s;

-- name: resource_ids
SELECT DISTINCT resource_id
FROM hdxjobs.layer;

-- name: layer
SELECT
    resource_id, generation, name, geometry_type, feature_count, bbox_lonlat, fields, source_crs, minzoom, maxzoom
FROM hdxjobs.layer_v1(%(layer_id)s);

-- name: tile
SELECT hdxjobs.tile_v1(%(layer_id)s, %(version)s, %(z)s, %(x)s, %(y)s);

-- name: try_import_lock
SELECT pg_try_advisory_lock(%(number)s);

-- name: newest_generation
SELECT greatest(
    (SELECT max(l.generation) FROM hdxjobs.layer AS l WHERE l.resource_id = %(resource_id)s),
    (SELECT greatest(r.live_gen, r.tombstone_gen) FROM hdxjobs.resource AS r WHERE r.resource_id = %(resource_id)s),
    0
);
