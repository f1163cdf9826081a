-- For tile servers that have no users (Martin, pg_tileserv): one function a public layer, and nothing else to read.
-- Run after tiles.sql, may be run again at any time.
ALTER TABLE hdxjobs.resource ADD COLUMN IF NOT EXISTS shared boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN hdxjobs.resource.shared IS 'Whether its layers have functions in the schema hdxjobs_public';

ALTER TABLE hdxjobs.resource ADD COLUMN IF NOT EXISTS shared_until timestamptz;

COMMENT ON COLUMN hdxjobs.resource.shared_until
IS 'From then on its functions give NULL: CKAN, which renews this each minute, can no longer say that it is public';

CREATE OR REPLACE FUNCTION hdxjobs.shared_tile_v1(layer_id text, z integer, x integer, y integer, query json)
RETURNS bytea
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    layer hdxjobs.layer;
    options jsonb;
    made record;
BEGIN
    SELECT l.* INTO layer
    FROM hdxjobs.resource AS r
    INNER JOIN hdxjobs.layer AS l ON r.resource_id = l.resource_id AND r.live_gen = l.generation
    WHERE
        l.layer_id = shared_tile_v1.layer_id
        AND r.shared
        AND r.shared_until > clock_timestamp()
        AND l.published_at IS NOT NULL
        AND r.tombstone_gen < l.generation;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF query::text <> '{}' THEN
        options := nullif(jsonb_strip_nulls(jsonb_build_object('filter', query -> 'filter', 'fields', query -> 'fields')), '{}');
        IF options ->> 'filter' IS NOT NULL AND jsonb_typeof(options -> 'filter') = 'string' THEN
            options := jsonb_set(options, '{filter}', (options ->> 'filter')::jsonb);
        END IF;
        IF jsonb_typeof(options -> 'fields') = 'string' THEN
            options := jsonb_set(options, '{fields}', to_jsonb(string_to_array(options ->> 'fields', ',')));
        END IF;
    END IF;
    made := hdxjobs.tile_of_v1(layer, z, x, y, options, false);
    RETURN made.mvt;
END;
$$;

COMMENT ON FUNCTION hdxjobs.shared_tile_v1(text, integer, integer, integer, json)
IS 'The tile of a shared layer''s version that is served now; NULL: not shared, or not any longer. query: fields (array or comma-separated), filter (CQL2 JSON)';

-- TileJSON parts as Martin merges them from a function's comment.
CREATE OR REPLACE FUNCTION hdxjobs.tilejson_v1(layer hdxjobs.layer)
RETURNS jsonb
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
SELECT jsonb_strip_nulls(jsonb_build_object(
    'name', layer.name,
    'minzoom', layer.minzoom,
    'maxzoom', layer.maxzoom,
    'bounds', to_jsonb(layer.bbox_lonlat),
    'vector_layers', jsonb_build_array(jsonb_build_object(
        'id', 'layer',
        'fields', (
            SELECT coalesce(jsonb_object_agg(field ->> 'key', initcap(field ->> 'type')), '{}')
            FROM jsonb_array_elements(layer.fields) AS field
        )
    ))
));
$$;

COMMENT ON FUNCTION hdxjobs.tilejson_v1(hdxjobs.layer)
IS 'TileJSON 3 members of a layer that do not depend on a URL';

CREATE OR REPLACE FUNCTION hdxjobs.share_v1(resource_id text, shared boolean)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    layer hdxjobs.layer;
    tileserver CONSTANT text := 'hdxjobs_public';
    lease CONSTANT interval := '10 minutes';
    signature text;
    changed integer := 0;
BEGIN
    PERFORM 1 FROM hdxjobs.resource AS r WHERE r.resource_id = share_v1.resource_id FOR UPDATE;
    UPDATE hdxjobs.resource AS r
    SET shared = share_v1.shared, shared_until = CASE WHEN share_v1.shared THEN clock_timestamp() + lease END
    WHERE r.resource_id = share_v1.resource_id;
    FOR layer IN SELECT l.* FROM hdxjobs.layer AS l WHERE l.resource_id = share_v1.resource_id LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS hdxjobs_public.%I(integer, integer, integer, json)', 'layer_' || layer.layer_id);
    END LOOP;
    FOR layer IN
        SELECT l.*
        FROM hdxjobs.layer AS l
        INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id AND l.generation = r.live_gen
        WHERE
            l.resource_id = share_v1.resource_id AND share_v1.shared
            AND l.published_at IS NOT NULL AND r.tombstone_gen < l.generation
    LOOP
        signature := format('hdxjobs_public.%I(integer, integer, integer, json)', 'layer_' || layer.layer_id);
        EXECUTE format(
            'CREATE FUNCTION hdxjobs_public.%I(z integer, x integer, y integer, query json DEFAULT ''{}'') RETURNS bytea'
            ' LANGUAGE plpgsql VOLATILE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog'
            ' AS %L', 'layer_' || layer.layer_id,
            format('BEGIN RETURN hdxjobs.shared_tile_v1(%L, z, x, y, query); END;', layer.layer_id)
        );
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature, hdxjobs.tilejson_v1(layer)::text);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', signature, tileserver);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END;
$$;

COMMENT ON FUNCTION hdxjobs.share_v1(text, boolean)
IS 'Give each served layer of a resource its function in hdxjobs_public for 10 minutes, or take them all away; how many there are now';

CREATE OR REPLACE FUNCTION hdxjobs.renew_shares_v1(resource_ids text [])
RETURNS bigint
LANGUAGE sql
VOLATILE
AS $$
WITH still_shared AS (
    SELECT r.resource_id
    FROM hdxjobs.resource AS r
    WHERE r.resource_id = ANY(resource_ids) AND r.shared
    FOR UPDATE SKIP LOCKED
),

renewed AS (
    UPDATE hdxjobs.resource AS r SET shared_until = clock_timestamp() + '10 minutes'
    FROM still_shared
    WHERE r.resource_id = still_shared.resource_id AND r.shared
    RETURNING 1
)

SELECT count(*) FROM renewed;
$$;

COMMENT ON FUNCTION hdxjobs.renew_shares_v1(text [])
IS 'Let what is shared of these resources be shared for 10 minutes from now; how many they are';

CREATE OR REPLACE FUNCTION hdxjobs_public.layers()
RETURNS TABLE (layer text, tilejson jsonb)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
SELECT 'layer_' || l.layer_id, hdxjobs.tilejson_v1(l)
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id AND l.generation = r.live_gen
WHERE r.shared AND r.shared_until > now() AND l.published_at IS NOT NULL AND r.tombstone_gen < l.generation
ORDER BY l.layer_id;
$$;

COMMENT ON FUNCTION hdxjobs_public.layers()
IS 'The layers that are shared now: the function of each, and its TileJSON';

REVOKE ALL ON FUNCTION hdxjobs_public.layers() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION hdxjobs_public.layers() TO hdxjobs_public;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hdxjobs FROM PUBLIC;
