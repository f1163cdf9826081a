-- The registry of layers.  May be run again at any time.
CREATE TABLE IF NOT EXISTS hdxjobs.schema_version (
    version integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS hdxjobs.resource (
    resource_id text PRIMARY KEY,
    live_gen bigint NOT NULL DEFAULT 0,
    tombstone_gen bigint NOT NULL DEFAULT 0
);

COMMENT ON TABLE hdxjobs.resource IS 'One row a CKAN resource: which generation of its layers is served';
COMMENT ON COLUMN hdxjobs.resource.live_gen IS 'Generation that is served; only ever rises';
COMMENT ON COLUMN hdxjobs.resource.tombstone_gen IS 'Generations up to this one were deleted and must never be served';

CREATE TABLE IF NOT EXISTS hdxjobs.layer (
    layer_id text NOT NULL,
    generation bigint NOT NULL,
    resource_id text NOT NULL,
    table_name text NOT NULL UNIQUE,
    name text NOT NULL,
    geometry_type text NOT NULL,
    feature_count bigint NOT NULL,
    bbox_lonlat double precision [],
    fields jsonb NOT NULL,
    source_crs text NOT NULL,
    minzoom integer NOT NULL DEFAULT 0,
    maxzoom integer NOT NULL DEFAULT 14,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    retired_at timestamptz,
    PRIMARY KEY (layer_id, generation)
);

CREATE INDEX IF NOT EXISTS layer_resource_id_idx ON hdxjobs.layer (resource_id);

COMMENT ON TABLE hdxjobs.layer IS 'One row for each table of features: staged, published, then retired and dropped';
COMMENT ON COLUMN hdxjobs.layer.bbox_lonlat IS 'west, south, east, north; degrees, EPSG:4326';
COMMENT ON COLUMN hdxjobs.layer.fields IS 'Array of {"name", "type", "column", "key"} in the order of the file';
COMMENT ON COLUMN hdxjobs.layer.published_at IS 'NULL while the table is only loaded';
COMMENT ON COLUMN hdxjobs.layer.retired_at IS 'When a newer generation took over; dropped after a time of grace';

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS prepared_at timestamptz;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS tiles bigint NOT NULL DEFAULT 0;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS pieces bigint NOT NULL DEFAULT 0;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS capped_zoom integer;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS prepare_share real NOT NULL DEFAULT 0;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS prepare_attempts integer NOT NULL DEFAULT 0;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS has_sketches boolean NOT NULL DEFAULT false;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS preview_row_bytes real;

ALTER TABLE hdxjobs.layer ADD COLUMN IF NOT EXISTS lists bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN hdxjobs.layer.has_sketches IS 'Whether large shapes are there in rough, for previews, in the table named with k_ for l_';
COMMENT ON COLUMN hdxjobs.layer.preview_row_bytes IS 'Bytes of a row without a sketch, on average; NULL: there are no sketches';
COMMENT ON COLUMN hdxjobs.layer.prepared_at IS 'NULL until every tile is known to be stored or cheap; tiles are previews till then';
COMMENT ON COLUMN hdxjobs.layer.prepare_share IS 'How much of preparing is done, 0 to 1';
COMMENT ON COLUMN hdxjobs.layer.prepare_attempts IS 'How often preparing was begun; it is given up after some';
COMMENT ON COLUMN hdxjobs.layer.tiles IS 'Number of stored tiles, in the table named like the layer''s with s_ for l_';
COMMENT ON COLUMN hdxjobs.layer.pieces IS 'Number of pieces of large features, in the table named with p_ for l_';
COMMENT ON COLUMN hdxjobs.layer.lists IS 'Number of tiles whose large features of few vertices are listed beside the pieces, and read whole';
COMMENT ON COLUMN hdxjobs.layer.capped_zoom IS 'Below this zoom tiles may lack features: shapes too many and too long to be cut further; NULL: nowhere';

-- Tiles that an older release stored have no gzip copy: one is made for each request.
DO $$
DECLARE
    stored text;
BEGIN
    FOR stored IN
        SELECT c.relname
        FROM pg_class AS c
        INNER JOIN hdxjobs.layer AS l ON c.relname = 's' || substr(l.table_name, 2)
        WHERE c.relnamespace = 'hdxjobs'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE hdxjobs.%I ADD COLUMN IF NOT EXISTS packed bytea', stored);
    END LOOP;
END;
$$;
