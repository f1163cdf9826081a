-- Schema 1 of the map database, frozen as it was at commit eefcf9a4c2.

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
-- The reading side: the only interface of web requests and tile servers.
-- May be run again at any time; the session's search_path (pg_catalog, PostGIS, pg_temp) is fixed into the functions.

-- A mark for a line that vanishes at tile resolution: a dash for a short one;
-- for one that folds flat as a whole (closed, or out and back) its two halves.
CREATE OR REPLACE FUNCTION hdxjobs.dash_v1(line geometry, unit double precision)
RETURNS geometry
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT CASE
    WHEN greatest(ST_XMax(line) - ST_XMin(line), ST_YMax(line) - ST_YMin(line)) < 2 * unit
        THEN ST_MakeLine(
            ST_Translate(ST_Centroid(ST_Envelope(line)), -unit, 0), ST_Translate(ST_Centroid(ST_Envelope(line)), unit, 0)
        )
    ELSE ST_Collect(ST_LineSubstring(line, 0, 0.5), ST_LineSubstring(line, 0.5, 1))
END;
$$;

COMMENT ON FUNCTION hdxjobs.dash_v1(geometry, double precision)
IS 'Small stand-in for a linestring that would vanish; EPSG:3857, unit in metres';

-- A mark for a shape that vanishes at tile resolution: every feature stays visible.
CREATE OR REPLACE FUNCTION hdxjobs.mark_v1(shape geometry, unit double precision)
RETURNS geometry
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    max_parts CONSTANT integer := 1000;
    slim geometry;
BEGIN
    IF ST_Dimension(shape) = 2 THEN
        IF greatest(ST_XMax(shape) - ST_XMin(shape), ST_YMax(shape) - ST_YMin(shape)) < 2 * unit THEN
            RETURN ST_Expand(ST_Centroid(ST_Envelope(shape)), unit);
        END IF;
        slim := ST_Simplify(shape, unit, true);
        IF ST_NPoints(slim) > max_parts THEN
            -- Teeth too many to draw: what they cover.
            RETURN ST_ConvexHull(slim);
        END IF;
        RETURN ST_Buffer(slim, 0.75 * unit, 'quad_segs=1');
    END IF;
    RETURN (
        SELECT ST_Collect(ARRAY(
            SELECT part.geom
            FROM ST_Dump(ST_CollectionExtract(shape, 2)) AS line
            CROSS JOIN ST_Dump(hdxjobs.dash_v1(line.geom, unit)) AS part
            LIMIT max_parts
        ))
    );
END;
$$;

COMMENT ON FUNCTION hdxjobs.mark_v1(geometry, double precision)
IS 'Small stand-in for a line or polygon that would vanish; EPSG:3857, unit in metres';

-- One feature in tile coordinates.  Simplified before it is encoded, never raw:
-- polygon clipping inside ST_AsMVTGeom can take minutes on many vertices and cannot be cancelled.
CREATE OR REPLACE FUNCTION hdxjobs.tile_shape_v1(shape geometry, bounds geometry, unit double precision)
RETURNS geometry
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    max_vertices CONSTANT integer := 10000;
    buffer_units CONSTANT integer := 64;
    part geometry := shape;
    slim geometry;
    tolerance double precision := unit;
    encoded geometry;
BEGIN
    IF ST_Dimension(shape) = 0 THEN
        RETURN ST_AsMVTGeom(shape, bounds, 4096, buffer_units, true);
    END IF;
    IF ST_NPoints(shape) > max_vertices / 2 THEN
        -- Twice the drawn margin, so that the cut itself is never drawn.
        part := ST_ClipByBox2D(shape, ST_Expand(bounds, 2 * buffer_units * unit));
        IF part IS NULL OR ST_IsEmpty(part) THEN
            RETURN NULL;
        END IF;
    END IF;
    slim := ST_Simplify(part, tolerance);
    WHILE ST_NPoints(slim) > max_vertices AND tolerance < 1024 * unit LOOP
        tolerance := 4 * tolerance;
        slim := ST_Simplify(slim, tolerance);
    END LOOP;
    encoded := ST_AsMVTGeom(slim, bounds, 4096, buffer_units, true);
    IF encoded IS NULL THEN
        encoded := ST_AsMVTGeom(hdxjobs.mark_v1(part, unit), bounds, 4096, buffer_units, true);
    END IF;
    RETURN encoded;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_shape_v1(geometry, geometry, double precision)
IS 'Geometry of a feature (EPSG:3857) in coordinates of a tile of 4096 units; bounds: the tile, EPSG:3857; unit: metres per tile unit';

-- The select list of a layer's properties: texts for what MVT has no type for.
CREATE OR REPLACE FUNCTION hdxjobs.tile_properties_v1(fields jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT coalesce(string_agg(
    CASE field ->> 'type'
        WHEN 'datetime' THEN format(', (to_jsonb(%I) #>> ''{}'') AS %I', field ->> 'column', field ->> 'key')
        WHEN 'date' THEN format(', %I::text AS %I', field ->> 'column', field ->> 'key')
        WHEN 'time' THEN format(', %I::text AS %I', field ->> 'column', field ->> 'key')
        WHEN 'json' THEN format(', %I::text AS %I', field ->> 'column', field ->> 'key')
        ELSE format(', %I AS %I', field ->> 'column', field ->> 'key')
    END, '' ORDER BY place
), '')
FROM jsonb_array_elements(fields) WITH ORDINALITY AS item (field, place);
$$;

COMMENT ON FUNCTION hdxjobs.tile_properties_v1(jsonb)
IS 'SQL select list of a layer''s fields (hdxjobs.layer.fields), each under its property key';

CREATE OR REPLACE FUNCTION hdxjobs.tile_v1(layer_id text, version bigint, z integer, x integer, y integer)
RETURNS bytea
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    max_features CONSTANT integer := 20000;
    layer hdxjobs.layer;
    bounds geometry;
    unit double precision;
    tile bytea;
BEGIN
    SELECT l.* INTO layer
    FROM hdxjobs.layer AS l
    INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
    WHERE
        l.layer_id = tile_v1.layer_id
        AND l.generation = tile_v1.version
        AND l.published_at IS NOT NULL
        AND r.tombstone_gen < l.generation;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF z NOT BETWEEN 0 AND 24 OR x NOT BETWEEN 0 AND (1 << z) - 1 OR y NOT BETWEEN 0 AND (1 << z) - 1 THEN
        RETURN '';
    END IF;
    bounds := ST_TileEnvelope(z, x, y);
    unit := (ST_XMax(bounds) - ST_XMin(bounds)) / 4096;
    -- The hash makes a cap's choice the same each time, and spread over the layer instead of its first rows.
    EXECUTE format(
        'SELECT ST_AsMVT(feature, ''layer'', 4096, ''hdx_shape'', ''hdx_fid'') FROM ('
        'SELECT hdx_fid, hdxjobs.tile_shape_v1(hdx_geom, $1, $2) AS hdx_shape %s FROM ('
        'SELECT * FROM hdxjobs.%I WHERE hdx_geom && ST_Expand($1, 64 * $2) ORDER BY hashint8(hdx_fid), hdx_fid LIMIT $3'
        ') AS candidate) AS feature WHERE hdx_shape IS NOT NULL',
        hdxjobs.tile_properties_v1(layer.fields), layer.table_name
    ) INTO tile USING bounds, unit, max_features;
    RETURN coalesce(tile, '');
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_v1(text, bigint, integer, integer, integer)
IS 'Mapbox vector tile of a layer''s version: source layer "layer", extent 4096, feature id = the file''s; empty: nothing there; NULL: no such layer or version';

CREATE OR REPLACE FUNCTION hdxjobs.layer_v1(layer_id text)
RETURNS SETOF hdxjobs.layer
LANGUAGE sql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
SELECT l.*
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
WHERE
    l.layer_id = layer_v1.layer_id
    AND l.generation = r.live_gen
    AND l.published_at IS NOT NULL
    AND r.tombstone_gen < l.generation;
$$;

COMMENT ON FUNCTION hdxjobs.layer_v1(text)
IS 'The registry row of the version of a layer that is served now; no row: no such layer. bbox_lonlat in degrees, EPSG:4326';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hdxjobs FROM PUBLIC;
