-- name: lock_schema
SELECT pg_advisory_xact_lock(hashtext('hdxjobs.schema'));

-- name: postgis_schema
SELECT n.nspname
FROM pg_extension AS e
INNER JOIN pg_namespace AS n ON e.extnamespace = n.oid
WHERE e.extname = 'postgis';

-- name: fix_search_path
SET LOCAL search_path = pg_catalog, {postgis}, pg_temp;

-- name: schema_exists
SELECT to_regclass('hdxjobs.schema_version') IS NOT NULL;

-- name: schema_version
SELECT max(v.version)
FROM hdxjobs.schema_version AS v;

-- name: note_version
INSERT INTO hdxjobs.schema_version (version)
VALUES (%(version)s)
ON CONFLICT (version) DO NOTHING;

-- name: versions
SELECT
    current_setting('server_version'),
    (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'postgis'),
    (SELECT max(v.version) FROM hdxjobs.schema_version AS v),
    current_setting('transaction_read_only')::boolean;

-- name: tiles_rights
-- Who is this, may it make tiles, may it read the registry, and is that its own?
SELECT
    current_user,
    has_function_privilege('hdxjobs.tile_v3(text, bigint, integer, integer, integer, jsonb, boolean)', 'EXECUTE'),
    has_table_privilege('hdxjobs.layer', 'SELECT'),
    pg_has_role(c.relowner, 'USAGE')
FROM pg_class AS c
WHERE c.oid = to_regclass('hdxjobs.layer');

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

-- name: detail
-- Whether there are points among a sample, and the step from vertex to vertex of the finest twentieth.
SELECT
    bool_or(dimension = 0),
    percentile_cont(0.05) WITHIN GROUP (ORDER BY step)
FROM (
    SELECT
        ST_Dimension(hdx_geom) AS dimension,
        (ST_Length(hdx_geom) + ST_Perimeter(hdx_geom)) / nullif(ST_NPoints(hdx_geom) - 1, 0) AS step
    FROM {table} TABLESAMPLE SYSTEM (%(share)s)
    WHERE hdx_geom IS NOT NULL
) AS sample;

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

-- name: staged
SELECT DISTINCT
    resource_id,
    generation
FROM hdxjobs.layer
WHERE published_at IS NULL AND retired_at IS NULL;

-- name: served
SELECT l.layer_id
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id AND l.generation = r.live_gen
WHERE
    l.resource_id = %(resource_id)s
    AND l.generation = %(generation)s
    AND l.published_at IS NOT NULL
    AND r.tombstone_gen < l.generation
ORDER BY l.layer_id;

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

-- name: share
SELECT hdxjobs.share_v1(%(resource_id)s, %(shared)s);

-- name: share_again
-- The layers may be others now: their functions follow, or go if nobody vouches for them any more.
SELECT hdxjobs.share_v1(r.resource_id, coalesce(r.shared_until > clock_timestamp(), false))
FROM hdxjobs.resource AS r
WHERE r.resource_id = %(resource_id)s AND r.shared;

-- name: unshare
-- Always in the same order, so that two who do it wait for each other.
SELECT count(hdxjobs.share_v1(shared.resource_id, false))
FROM (
    SELECT r.resource_id
    FROM hdxjobs.resource AS r
    WHERE r.resource_id = ANY(%(resource_ids)s) AND r.shared
    ORDER BY r.resource_id
) AS shared;

-- name: renew_shares
SELECT hdxjobs.renew_shares_v1(%(resource_ids)s);

-- name: shares
-- Resources with layers that tile servers have, or could have.
SELECT
    r.resource_id,
    r.shared,
    coalesce(r.shared AND r.shared_until > clock_timestamp(), false)
FROM hdxjobs.resource AS r
WHERE
    (r.shared OR r.live_gen > r.tombstone_gen)
    AND (%(resource_ids)s::text [] IS NULL OR r.resource_id = ANY(%(resource_ids)s));

-- name: hurry
SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '2s';

-- name: resource_ids
SELECT DISTINCT resource_id
FROM hdxjobs.layer;

-- name: layer
SELECT
    resource_id, generation, name, geometry_type, feature_count, bbox_lonlat, fields, source_crs, minzoom, maxzoom,
    prepared_at IS NOT NULL
FROM hdxjobs.layer_v1(%(layer_id)s);

-- name: tile
SELECT
    t.mvt,
    t.state,
    t.dropped,
    t.is_packed
FROM hdxjobs.tile_v3(%(layer_id)s, %(version)s, %(z)s, %(x)s, %(y)s, %(options)s, true) AS t;

-- name: try_import_lock
SELECT pg_try_advisory_lock(%(number)s);

-- name: session_lives
-- A session's locks last as long as it does.
SELECT true;

-- name: newest_generation
SELECT greatest(
    (SELECT max(l.generation) FROM hdxjobs.layer AS l WHERE l.resource_id = %(resource_id)s),
    (SELECT greatest(r.live_gen, r.tombstone_gen) FROM hdxjobs.resource AS r WHERE r.resource_id = %(resource_id)s),
    0
);

-- name: add_walk_column
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS hdx_walk boolean NOT NULL DEFAULT false;

-- name: try_prepare_lock
SELECT pg_try_advisory_lock(hashtext('hdxjobs.prepare'), hashtext(%(table_name)s));

-- name: prepare_unlock
SELECT pg_advisory_unlock(hashtext('hdxjobs.prepare'), hashtext(%(table_name)s));

-- name: still_served
SELECT l.published_at IS NOT NULL AND l.retired_at IS NULL AND r.tombstone_gen < l.generation
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
WHERE l.table_name = %(table_name)s;

-- name: still_served_and_kept
-- Whoever drops the layer waits until this transaction ends, and then sees its tables.
SELECT l.published_at IS NOT NULL AND l.retired_at IS NULL AND r.tombstone_gen < l.generation
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
WHERE l.table_name = %(table_name)s
FOR KEY SHARE OF l;

-- name: keep_out
-- Nobody makes a table beside this one any more.
SELECT true
FROM hdxjobs.layer
WHERE table_name = %(table_name)s
FOR UPDATE;

-- name: was_prepared
SELECT tiles, pieces, lists, maxzoom, capped_zoom
FROM hdxjobs.layer
WHERE table_name = %(table_name)s AND prepared_at IS NOT NULL;

-- name: begin_prepare
UPDATE hdxjobs.layer SET prepare_attempts = prepare_attempts + 1
WHERE table_name = %(table_name)s;

-- name: note_share
UPDATE hdxjobs.layer SET prepare_share = %(share)s
WHERE table_name = %(table_name)s;

-- name: unprepared
-- Published a while ago, and nobody is preparing it: its worker died.
SELECT l.layer_id
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id AND l.generation = r.live_gen
WHERE
    l.prepared_at IS NULL
    AND l.published_at < now() - make_interval(secs => %(older_than_s)s)
    AND l.retired_at IS NULL
    AND l.prepare_attempts < %(max_attempts)s
    AND r.tombstone_gen < l.generation
ORDER BY l.published_at
LIMIT %(limit)s;

-- name: copy_boxes
-- The cast to box2d reads a large shape's box without reading the shape.
COPY (
    SELECT
        hdx_fid,
        ST_XMin(hdx_geom::box2d::box3d),
        ST_YMin(hdx_geom::box2d::box3d),
        ST_XMax(hdx_geom::box2d::box3d),
        ST_YMax(hdx_geom::box2d::box3d),
        ST_NPoints(hdx_geom),
        {dimension}
    FROM {table}
    WHERE hdx_geom IS NOT NULL
) TO STDOUT (FORMAT binary);

-- name: copy_shapes
COPY (
    SELECT
        l.hdx_fid,
        ST_AsBinary(l.hdx_geom, 'NDR')
    FROM {table} AS l
    INNER JOIN hdx_walker AS w ON l.hdx_fid = w.fid
    WHERE l.hdx_geom IS NOT NULL
) TO STDOUT (FORMAT binary);

-- name: copy_columns
COPY {table} ({columns}) FROM STDIN (FORMAT binary);

-- name: unpacked_tiles
SELECT cell, mvt
FROM {stored}
WHERE cell > %(after)s AND cell %% %(count)s = %(number)s AND length(mvt) >= %(least_bytes)s
ORDER BY cell
LIMIT 50;

-- name: pack_tiles
UPDATE {stored} AS s SET packed = p.packed
FROM hdx_packed AS p
WHERE s.cell = p.cell;

-- name: forget_packed
TRUNCATE hdx_packed;

-- name: work_tables
-- Nothing of it counts before the registry says so, and what that waits for is on disk with all that was before it.
SET synchronous_commit = off;
CREATE TEMP TABLE hdx_walker (fid bigint PRIMARY KEY);
CREATE TEMP TABLE hdx_drawn (cell bigint, fid bigint, amount bigint, place bigint, listed bigint);
CREATE TEMP TABLE hdx_heavy (cell bigint PRIMARY KEY, keep bigint, lost bigint, bounds geometry);
CREATE TEMP TABLE hdx_packed (cell bigint, packed bytea);

-- name: prepared_tables
DROP TABLE IF EXISTS {stored};
DROP TABLE IF EXISTS {pieces};
CREATE TABLE {stored} (
    cell bigint PRIMARY KEY, mvt bytea NOT NULL, amount bigint NOT NULL, dropped bigint NOT NULL, packed bytea
);
-- Compressed already.
ALTER TABLE {stored} ALTER packed SET STORAGE EXTERNAL;
-- A row is a piece of a feature, or it lists features that are read whole.
CREATE TABLE {pieces} (
    cell bigint NOT NULL, fid bigint, shape geometry, fids bigint [], CHECK (num_nulls(shape, fids) = 1)
);
-- Coordinates hardly get smaller, and trying costs more than writing them.
ALTER TABLE {pieces} ALTER shape SET STORAGE EXTERNAL;

-- name: sketch_tables
CREATE TEMP TABLE hdx_sketch (fid bigint, shape geometry);
DROP TABLE IF EXISTS {sketches};
CREATE TABLE {sketches} (LIKE {table});

-- name: no_rows
SELECT * FROM {table} LIMIT 0;

-- name: fill_sketches
INSERT INTO {sketches}
SELECT {columns}
FROM {table} AS l
INNER JOIN hdx_sketch AS k ON l.hdx_fid = k.fid;

-- name: note_sketches
UPDATE hdxjobs.layer SET
    has_sketches = true,
    preview_row_bytes = %(shape_bytes)s
        + pg_relation_size(format('hdxjobs.%%I', table_name)::regclass, 'main') / greatest(feature_count, 1)
WHERE table_name = %(table_name)s;

-- name: index_fid
CREATE INDEX IF NOT EXISTS {index} ON {table} (hdx_fid);

-- name: row_bytes
-- Bytes that one feature's attributes take in a tile.
SELECT coalesce(max(length(tile.mvt)::float8 / tile.amount), 0)
FROM (
    SELECT
        ST_AsMVT(feature, 'layer', 4096, 'hdx_shape', 'hdx_fid') AS mvt,
        count(*) AS amount
    FROM (
        SELECT hdx_fid, ST_Point(2048, 2048) AS hdx_shape {properties}
        FROM {table}
        WHERE hdx_geom IS NOT NULL
        LIMIT 1000
    ) AS feature
) AS tile
WHERE tile.amount > 0;

-- name: properties
SELECT hdxjobs.tile_properties_v2(l.fields, lean => %(lean)s)
FROM hdxjobs.layer AS l
WHERE l.table_name = %(table_name)s;

-- name: bound_heavy
UPDATE hdx_heavy
SET bounds = ST_TileEnvelope((cell >> 58)::int, ((cell >> 29) & 536870911)::int, (cell & 536870911)::int);

-- name: forget_heavy
TRUNCATE hdx_heavy, hdx_drawn;

-- name: calm_planner
SET LOCAL jit = off;
SET LOCAL enable_hashagg = off;
SET LOCAL work_mem = '64MB';

-- name: fill_empty
INSERT INTO {stored} (cell, mvt, amount, dropped)
SELECT h.cell, '', 0, 0
FROM hdx_heavy AS h
ON CONFLICT (cell) DO NOTHING;

-- name: bake
-- Crowds of specks get the same mark as by hdxjobs.tile_shape_v2, without calling it for each; the order makes
-- tiles the same each time.  OFFSET 0 keeps the planner from computing each shape twice.
INSERT INTO {stored} (cell, mvt, amount, dropped)
SELECT drawn.cell, ST_AsMVT(drawn.feature, 'layer', 4096, 'hdx_shape', 'hdx_fid'), count(*), 0
FROM (
    SELECT d.cell, feature
    FROM hdx_heavy AS h
    INNER JOIN hdx_drawn AS d ON h.cell = d.cell AND d.place < h.keep
    INNER JOIN {table} AS l ON d.fid = l.hdx_fid
    LEFT JOIN {pieces} AS p ON -d.cell - 1 = p.cell AND d.fid = p.fid AND (-p.cell - 1) >> 58 = %(zoom)s
    CROSS JOIN LATERAL (
        SELECT
            l.hdx_fid,
            CASE
                WHEN p.shape IS NOT NULL
                    THEN hdxjobs.tile_shape_v2(p.shape, h.bounds, %(unit)s, %(detail)s * %(unit)s, 4 * %(unit)s)
                WHEN
                    d.listed = 1 AND ST_NPoints(l.hdx_geom) <= 10
                    AND greatest(
                        ST_XMax(l.hdx_geom) - ST_XMin(l.hdx_geom), ST_YMax(l.hdx_geom) - ST_YMin(l.hdx_geom)
                    ) >= 8 * %(unit)s
                    THEN coalesce(
                        ST_AsMVTGeom(l.hdx_geom, h.bounds, 4096, 64, true),
                        hdxjobs.tile_shape_v2(l.hdx_geom, h.bounds, %(unit)s, %(detail)s * %(unit)s, 4 * %(unit)s)
                    )
                WHEN ST_Dimension(l.hdx_geom) = 0 THEN ST_AsMVTGeom(l.hdx_geom, h.bounds, 4096, 64, true)
                WHEN
                    ST_Dimension(l.hdx_geom) = 2
                    AND greatest(
                        ST_XMax(l.hdx_geom) - ST_XMin(l.hdx_geom), ST_YMax(l.hdx_geom) - ST_YMin(l.hdx_geom)
                    ) < 8 * %(unit)s
                    THEN hdxjobs.speck_v1(l.hdx_geom, h.bounds, %(unit)s, 4)
                ELSE hdxjobs.tile_shape_v2(l.hdx_geom, h.bounds, %(unit)s, %(detail)s * %(unit)s, 4 * %(unit)s)
            END AS hdx_shape,
            nullif(d.amount, 1) AS point_count
            {properties}
        OFFSET 0
    ) AS feature
    WHERE feature.hdx_shape IS NOT NULL
    ORDER BY d.cell, d.place
) AS drawn
GROUP BY drawn.cell
ON CONFLICT (cell) DO UPDATE SET mvt = excluded.mvt, amount = excluded.amount;

-- name: fattest_tile
SELECT max(length(mvt))
FROM {stored}
WHERE cell >> 58 = %(zoom)s;

-- name: keep_fewer
-- Of tiles that are still too large as many features as should fit, the first in rank.
WITH fat AS (
    SELECT
        s.cell,
        floor(s.amount * 0.9 * %(max_bytes)s / length(s.mvt))::bigint AS most
    FROM {stored} AS s
    WHERE s.cell >> 58 = %(zoom)s AND length(s.mvt) > %(max_bytes)s
),

ranked AS (
    SELECT
        d.cell,
        d.place,
        row_number() OVER (PARTITION BY d.cell ORDER BY d.place) AS number
    FROM hdx_drawn AS d
    INNER JOIN fat ON d.cell = fat.cell
),

kept AS (
    SELECT
        r.cell,
        max(r.place) + 1 AS keep
    FROM ranked AS r
    INNER JOIN fat ON r.cell = fat.cell AND r.number <= greatest(fat.most, 1)
    GROUP BY r.cell
)

UPDATE hdx_heavy AS h SET keep = kept.keep
FROM kept
WHERE h.cell = kept.cell;

-- name: leave_shapes_out
-- Tiles of some of the features have no more large shapes than the tile of all.
DELETE FROM {pieces} AS p
USING hdx_drawn AS d, hdx_heavy AS h
WHERE p.cell = -d.cell - 1 AND p.fid = d.fid AND d.cell = h.cell AND d.place >= h.keep;

-- name: list_drawn
-- Features that are read whole, as far as they are drawn, for tiles of some of the features.
INSERT INTO {pieces} (cell, fids)
SELECT -d.cell - 1, array_agg(d.fid ORDER BY d.fid)
FROM hdx_drawn AS d
INNER JOIN hdx_heavy AS h ON d.cell = h.cell AND d.place < h.keep
WHERE d.listed = 1
GROUP BY d.cell;

-- name: note_dropped
UPDATE {stored} AS s SET dropped = lost.amount
FROM (
    SELECT
        h.cell,
        h.lost + coalesce(sum(d.amount), 0) AS amount
    FROM hdx_heavy AS h
    LEFT JOIN hdx_drawn AS d ON h.cell = d.cell AND d.place >= h.keep
    GROUP BY h.cell
) AS lost
WHERE s.cell = lost.cell AND lost.amount > 0;

-- name: thin_heavy
DELETE FROM hdx_heavy AS h
WHERE NOT EXISTS (
    SELECT 1 FROM {stored} AS s
    WHERE s.cell = h.cell AND length(s.mvt) > %(max_bytes)s
);

-- name: index_pieces
CREATE INDEX {index} ON {pieces} (cell);

-- name: mark_walkers
UPDATE {table} AS l SET hdx_walk = true
FROM hdx_walker AS w
WHERE l.hdx_fid = w.fid;

-- name: analyze_places
-- What tiles are planned by, in half the time of all columns; those follow by themselves (autovacuum).
ANALYZE {table} (hdx_fid, hdx_geom);

-- name: analyze_walk
-- All else in it is as it was when the layer was published.
ANALYZE {table} (hdx_walk);

-- name: index_resting
CREATE INDEX IF NOT EXISTS {index} ON {table} USING gist (hdx_geom) WHERE NOT hdx_walk;

-- name: note_prepared
SET LOCAL synchronous_commit TO DEFAULT;
UPDATE hdxjobs.layer
SET
    prepared_at = now(),
    maxzoom = greatest(maxzoom, %(deepest)s),
    tiles = %(tiles)s,
    pieces = %(pieces)s,
    lists = %(lists)s,
    capped_zoom = %(capped_zoom)s
WHERE table_name = %(table_name)s AND retired_at IS NULL;
