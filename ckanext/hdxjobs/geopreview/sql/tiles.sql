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

-- A shape's part in a box.  Part by part, because clipping takes the square of their number, and nearly
-- all of them lie wholly inside or wholly outside.
CREATE OR REPLACE FUNCTION hdxjobs.cut_v1(shape geometry, box geometry)
RETURNS geometry
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT CASE
    WHEN box ~ shape THEN shape
    ELSE (
        SELECT ST_Collect(CASE WHEN box ~ part.geom THEN part.geom ELSE ST_ClipByBox2D(part.geom, box) END)
        FROM ST_Dump(shape) AS part
        WHERE part.geom && box
    )
END;
$$;

COMMENT ON FUNCTION hdxjobs.cut_v1(geometry, geometry)
IS 'The part of a line or polygon, or of many, that lies in a box; NULL: none; EPSG:3857';

-- A polygon smaller than its mark, as that mark: a square, its ring as MVT wants outer rings.  Made of numbers alone,
-- so that thousands of them cost less than a few shapes; plain enough for the planner to take it into its query.
CREATE OR REPLACE FUNCTION hdxjobs.speck_v1(shape geometry, bounds geometry, unit double precision, half integer)
RETURNS geometry
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT ST_MakeEnvelope(
    round(((ST_XMin(shape) + ST_XMax(shape)) / 2 - ST_XMin(bounds)) / unit) + half,
    round((ST_YMax(bounds) - (ST_YMin(shape) + ST_YMax(shape)) / 2) / unit) - half,
    round(((ST_XMin(shape) + ST_XMax(shape)) / 2 - ST_XMin(bounds)) / unit) - half,
    round((ST_YMax(bounds) - (ST_YMin(shape) + ST_YMax(shape)) / 2) / unit) + half
);
$$;

COMMENT ON FUNCTION hdxjobs.speck_v1(geometry, geometry, double precision, integer)
IS 'Square around a polygon''s middle (EPSG:3857) in coordinates of a tile of 4096 units, as hdxjobs.mark_v1 draws what is smaller; bounds: the tile; unit: of the tile, in metres; half: half the square''s side in units';

DROP FUNCTION IF EXISTS hdxjobs.tile_shape_v1(geometry, geometry, double precision);

DROP FUNCTION IF EXISTS hdxjobs.tile_properties_v1(jsonb);

-- Whether polygons may cross themselves and each other so often that encoding them takes seconds, or hours: each crossing
-- becomes a vertex, and a thousand corners in any order cross a hundred thousand times.  Lines that lie anyhow in a square
-- of side 1 cross (length)^2 / pi times.  What is not that long may still be a knot somewhere: it is looked for in cells of
-- 256 units, but a tile that has to be quick takes any thousand vertices for one.
CREATE OR REPLACE FUNCTION hdxjobs.is_tangled_v1(shape geometry, unit double precision, patient boolean)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    max_sides CONSTANT integer := 60;
    max_sides_unseen CONSTANT integer := 10;
    max_crossed CONSTANT integer := 1000;
    max_sides_in_cell CONSTANT integer := CASE WHEN patient THEN 120 ELSE 40 END;
    max_in_cell CONSTANT integer := 50;
    cell CONSTANT double precision := 256 * unit;
    sides double precision := ST_Perimeter(shape) / greatest(ST_XMax(shape) - ST_XMin(shape), ST_YMax(shape) - ST_YMin(shape));
BEGIN
    IF sides < max_sides AND ST_NumGeometries(shape) > 1 THEN
        SELECT greatest(sides, max(ST_Perimeter(geom) / greatest(ST_XMax(geom) - ST_XMin(geom), ST_YMax(geom) - ST_YMin(geom))))
        INTO sides
        FROM ST_Dump(shape);
    END IF;
    IF (sides < max_sides_unseen AND ST_NPoints(shape) <= max_crossed) OR ST_IsValid(shape) THEN
        RETURN false;
    END IF;
    IF sides >= max_sides OR (ST_NPoints(shape) > max_crossed AND NOT patient) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM (
            SELECT
                geom,
                ST_Distance(geom, lag(geom) OVER (PARTITION BY trim_array(path, 1) ORDER BY path)) AS edge
            FROM ST_DumpPoints(shape)
        ) AS vertex
        GROUP BY floor(ST_X(geom) / cell), floor(ST_Y(geom) / cell)
        HAVING count(*) > max_in_cell AND sum(least(edge, 2 * cell)) > max_sides_in_cell * cell
    );
END;
$$;

COMMENT ON FUNCTION hdxjobs.is_tangled_v1(geometry, double precision, boolean)
IS 'Whether polygons may cross themselves or each other a thousand times; unit: of the tile, metres; patient: look closely at a long outline before saying so';

-- One feature in tile coordinates.  Simplified before it is encoded, never raw:
-- polygon clipping inside ST_AsMVTGeom can take minutes on many vertices and cannot be cancelled.
CREATE OR REPLACE FUNCTION hdxjobs.tile_shape_v2(
    shape geometry, bounds geometry, unit double precision, tolerance double precision, speck double precision
)
RETURNS geometry
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    max_vertices CONSTANT integer := 10000;
    max_knot CONSTANT integer := 50;
    max_hulls CONSTANT integer := 16;
    -- Stored tiles have larger marks, and are made once.
    patient CONSTANT boolean := speck > unit;
    buffer_units CONSTANT integer := 64;
    tangled boolean;
    slim geometry;
    encoded geometry;
BEGIN
    IF ST_Dimension(shape) = 0 THEN
        RETURN ST_AsMVTGeom(shape, bounds, 4096, buffer_units, true);
    END IF;
    IF greatest(ST_XMax(shape) - ST_XMin(shape), ST_YMax(shape) - ST_YMin(shape)) < 2 * speck THEN
        RETURN ST_AsMVTGeom(hdxjobs.mark_v1(shape, speck), bounds, 4096, buffer_units, true);
    END IF;
    slim := ST_Simplify(shape, tolerance);
    IF ST_NPoints(slim) > max_vertices / 2 THEN
        -- Simplified before it is cut: that takes a hundredth of the time, and neighbouring tiles agree on the result.
        -- Twice the drawn margin, so that the cut itself is never drawn.
        slim := hdxjobs.cut_v1(slim, ST_Expand(bounds, 2 * buffer_units * unit));
        IF slim IS NULL OR ST_IsEmpty(slim) THEN
            RETURN NULL;
        END IF;
    END IF;
    LOOP
        EXIT WHEN slim IS NULL;
        tangled := ST_NPoints(slim) BETWEEN max_knot + 1 AND max_vertices AND hdxjobs.is_tangled_v1(slim, unit, patient);
        EXIT WHEN tolerance >= 1024 * unit OR NOT (tangled OR ST_NPoints(slim) > max_vertices);
        tolerance := 4 * tolerance;
        slim := ST_Simplify(slim, tolerance);
    END LOOP;
    IF tangled OR (ST_NPoints(slim) > max_vertices AND hdxjobs.is_tangled_v1(slim, unit, patient)) THEN
        slim := CASE
            WHEN ST_NumGeometries(slim) > max_hulls THEN ST_ConvexHull(slim)
            ELSE (SELECT ST_Collect(ST_ConvexHull(geom)) FROM ST_Dump(slim))
        END;
    END IF;
    encoded := ST_AsMVTGeom(slim, bounds, 4096, buffer_units, true);
    IF encoded IS NULL AND ST_Intersects(slim, ST_Expand(bounds, buffer_units * unit)) IS NOT false THEN
        encoded := ST_AsMVTGeom(hdxjobs.mark_v1(shape, unit), bounds, 4096, buffer_units, true);
    END IF;
    RETURN encoded;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_shape_v2(geometry, geometry, double precision, double precision, double precision)
IS 'Geometry of a feature (EPSG:3857) in coordinates of a tile of 4096 units; bounds: the tile; in metres, unit: a tile unit, tolerance: of simplification, speck: half the side of the mark for what is smaller than that mark';

-- The select list of a layer's properties: texts for what MVT has no type for.
CREATE OR REPLACE FUNCTION hdxjobs.tile_properties_v2(fields jsonb, lean boolean)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
BEGIN
    RETURN (
        SELECT coalesce(string_agg(
            CASE
                WHEN field ->> 'type' = 'datetime'
                    THEN format(', (to_jsonb(%I) #>> ''{}'') AS %I', field ->> 'column', field ->> 'key')
                WHEN field ->> 'type' IN ('date', 'time') THEN format(', %I::text AS %I', field ->> 'column', field ->> 'key')
                WHEN lean AND field ->> 'type' IN ('string', 'json')
                    THEN format(', left(%I::text, 256) AS %I', field ->> 'column', field ->> 'key')
                WHEN field ->> 'type' = 'json' THEN format(', %I::text AS %I', field ->> 'column', field ->> 'key')
                ELSE format(', %I AS %I', field ->> 'column', field ->> 'key')
            END, '' ORDER BY place
        ), '')
        FROM jsonb_array_elements(fields) WITH ORDINALITY AS item (field, place)
        WHERE NOT lean OR place <= 20
    );
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_properties_v2(jsonb, boolean)
IS 'SQL select list of a layer''s fields (hdxjobs.layer.fields), each under its property key; lean: the first 20, texts cut to 256 characters';

CREATE OR REPLACE FUNCTION hdxjobs.cell_v1(z integer, x integer, y integer)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT (z::bigint << 58) | (x::bigint << 29) | y;
$$;

COMMENT ON FUNCTION hdxjobs.cell_v1(integer, integer, integer)
IS 'A tile as one number: the key of stored tiles and pieces';

-- A feature of a tile has one kind of geometry: a collection is drawn as its points, its lines and its polygons.
CREATE OR REPLACE FUNCTION hdxjobs.kinds_v1(whole geometry)
RETURNS SETOF geometry
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
SELECT part.shape
FROM generate_series(1, CASE WHEN GeometryType(whole) = 'GEOMETRYCOLLECTION' THEN 3 ELSE 1 END) AS kind
CROSS JOIN LATERAL (
    SELECT CASE WHEN GeometryType(whole) = 'GEOMETRYCOLLECTION' THEN ST_CollectionExtract(whole, kind) ELSE whole END AS shape
    OFFSET 0
) AS part
WHERE NOT ST_IsEmpty(part.shape);
$$;

COMMENT ON FUNCTION hdxjobs.kinds_v1(geometry)
IS 'The points, the lines and the polygons of a collection; any other shape as it is';

-- How a shape is drawn in a tile: what its layer's type of geometry calls for and no more, because the planner takes
-- longer for what does not apply than a tile of a few features takes.  Shapes of a few vertices are encoded as they are;
-- only what vanishes then needs more.  hdxjobs.speck_v1 is written out: the planner would take longer to unfold it.
CREATE OR REPLACE FUNCTION hdxjobs.drawn_v1(geometry_type text, shape text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    size CONSTANT text := 'greatest(ST_XMax(%1$s) - ST_XMin(%1$s), ST_YMax(%1$s) - ST_YMin(%1$s))';
    speck CONSTANT text := 'ST_MakeEnvelope('
    'round(((ST_XMin(%1$s) + ST_XMax(%1$s)) / 2 - $6) / $3) + 1,'
    ' round(($7 - (ST_YMin(%1$s) + ST_YMax(%1$s)) / 2) / $3) - 1,'
    ' round(((ST_XMin(%1$s) + ST_XMax(%1$s)) / 2 - $6) / $3) - 1,'
    ' round(($7 - (ST_YMin(%1$s) + ST_YMax(%1$s)) / 2) / $3) + 1)';
    plain CONSTANT text := 'ST_AsMVTGeom(%1$s, $1, 4096, 64, true)';
    careful CONSTANT text := 'hdxjobs.tile_shape_v2(%1$s, $1, $3, $3, $3)';
    usual CONSTANT text := format('coalesce(CASE WHEN ST_NPoints(%%1$s) <= 10 THEN %s END, %s)', plain, careful);
BEGIN
    RETURN format(CASE
        WHEN geometry_type IN ('Point', 'MultiPoint') THEN plain
        WHEN geometry_type IN ('LineString', 'MultiLineString')
            THEN format('CASE WHEN %s < 2 * $3 THEN %s ELSE %s END', size, careful, usual)
        WHEN geometry_type IN ('Polygon', 'MultiPolygon')
            THEN format('CASE WHEN %s < 2 * $3 THEN %s ELSE %s END', size, speck, usual)
        ELSE format(
            'CASE WHEN ST_Dimension(%%1$s) = 0 THEN %s WHEN %s >= 2 * $3 THEN %s'
            ' WHEN ST_Dimension(%%1$s) = 2 THEN %s ELSE %s END', plain, size, usual, speck, careful
        )
    END, shape);
END;
$$;

COMMENT ON FUNCTION hdxjobs.drawn_v1(text, text)
IS 'SQL of a shape in coordinates of a tile; geometry_type: of the layer; $1 tile, $3 unit, $6 west and $7 north of the tile; NULL: nothing of it is drawn';

-- Features that are read whole from a table like the layer's: a part of hdxjobs.tile_source_v1.
-- A layer that has no more rows than may be read needs no limit, which would be a query of its own to the planner.
CREATE OR REPLACE FUNCTION hdxjobs.whole_features_v1(
    layer hdxjobs.layer, source text, only_those text, lean boolean, condition text
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    mixed CONSTANT boolean := layer.geometry_type IN ('Geometry', 'GeometryCollection');
    few CONSTANT boolean := layer.prepared_at IS NOT NULL AND layer.feature_count <= 20000;
BEGIN
    RETURN format(
        'SELECT hdx_fid, %s AS hdx_shape %s FROM (SELECT * FROM %s WHERE hdx_geom && $2 %s AND (%s) %s) AS whole %s',
        hdxjobs.drawn_v1(layer.geometry_type, CASE WHEN mixed THEN 'kind.shape' ELSE 'hdx_geom' END),
        hdxjobs.tile_properties_v2(layer.fields, lean), source, only_those, condition,
        CASE WHEN few THEN '' ELSE 'LIMIT $5' END,
        CASE WHEN mixed THEN 'CROSS JOIN LATERAL hdxjobs.kinds_v1(hdx_geom) AS kind (shape)' ELSE '' END
    );
END;
$$;

COMMENT ON FUNCTION hdxjobs.whole_features_v1(hdxjobs.layer, text, text, boolean, text)
IS 'SQL of features that are read whole; source: a table with its TABLESAMPLE clause, or what else may stand after FROM; only_those: "" or "AND ..."';

-- Where a layer's features for one tile come from: SQL with $1 tile, $2 its margin included, $3 unit, $4 keys of the
-- tile and those above it, $5 most rows, $6 west and $7 north of the tile.  Before a layer is prepared, large shapes are
-- never read: there are sketches of them, or not yet.
CREATE OR REPLACE FUNCTION hdxjobs.tile_source_v1(layer hdxjobs.layer, sample text, lean boolean, condition text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
AS $$
DECLARE
    source CONSTANT text := format('hdxjobs.%I %s', layer.table_name, sample);
    sketches CONSTANT text := format('hdxjobs.%I', 'k' || substr(layer.table_name, 2));
    pieces CONSTANT text := format('hdxjobs.%I', 'p' || substr(layer.table_name, 2));
    features text;
BEGIN
    IF layer.prepared_at IS NULL AND layer.has_sketches THEN
        RETURN hdxjobs.whole_features_v1(
            layer, source, format('AND hdx_fid NOT IN (SELECT hdx_fid FROM %s)', sketches), lean, condition
        ) || ' UNION ALL ' || hdxjobs.whole_features_v1(layer, sketches, '', lean, condition);
    END IF;
    IF layer.prepared_at IS NULL THEN
        RETURN hdxjobs.whole_features_v1(layer, source, 'AND pg_column_size(hdx_geom) < 80000', lean, condition);
    END IF;
    IF layer.pieces + layer.lists = 0 THEN
        RETURN hdxjobs.whole_features_v1(layer, source, '', lean, condition);
    END IF;
    features := hdxjobs.whole_features_v1(layer, source, 'AND NOT hdx_walk', lean, condition);
    IF layer.pieces > 0 THEN
        features := features || format(
            ' UNION ALL SELECT hdx_fid, hdxjobs.tile_shape_v2(shape, $1, $3, $3, $3) AS hdx_shape %s'
            ' FROM (SELECT fid, shape FROM %s WHERE cell = ANY($4) AND shape && $2 LIMIT $5) AS piece'
            ' INNER JOIN hdxjobs.%I ON hdx_fid = fid WHERE (%s)',
            hdxjobs.tile_properties_v2(layer.fields, lean), pieces, layer.table_name, condition
        );
    END IF;
    IF layer.lists > 0 THEN
        -- The list of the tile, or of the nearest one above it that has one: that holds all of the tile's, and some more.
        -- OFFSET 0: by their boxes far too many would be found.
        features := features || ' UNION ALL ' || hdxjobs.whole_features_v1(
            layer,
            format(
                '(SELECT l.* FROM unnest((SELECT fids FROM %s WHERE cell = ANY($4) AND fids IS NOT NULL'
                ' ORDER BY cell DESC LIMIT 1)) AS listed (fid) INNER JOIN hdxjobs.%I AS l ON hdx_fid = listed.fid OFFSET 0)'
                ' AS near',
                pieces, layer.table_name
            ),
            'AND ST_Intersects(hdx_geom, $2)', lean, condition
        );
    END IF;
    RETURN features;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_source_v1(hdxjobs.layer, text, boolean, text)
IS 'SQL of the features in a tile: those that are read whole, and pieces or sketches of the others; sample: "" or a TABLESAMPLE clause; condition: SQL of hdxjobs.filter_v1';

-- How many rows the planner expects in a box: microseconds, whatever the table's size.
CREATE OR REPLACE FUNCTION hdxjobs.estimate_v1(table_name text, box geometry)
RETURNS double precision
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT 1 FROM hdxjobs.%I WHERE hdx_geom && %L::geometry', table_name, box) INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision;
END;
$$;

COMMENT ON FUNCTION hdxjobs.estimate_v1(text, geometry)
IS 'Rows of a layer''s table whose box meets a box (EPSG:3857), as the planner expects';

-- A tile from its features, made while it is asked for.  Bounded in rows by its source, and in bytes here:
-- first the attributes are cut, then the features.
CREATE OR REPLACE FUNCTION hdxjobs.live_tile_v1(
    layer hdxjobs.layer, z integer, x integer, y integer, sample text, most bigint, condition text,
    OUT mvt bytea, OUT dropped bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
AS $$
DECLARE
    max_bytes CONSTANT integer := 500000;
    bounds CONSTANT geometry := ST_TileEnvelope(z, x, y);
    west CONSTANT double precision := ST_XMin(bounds);
    north CONSTANT double precision := ST_YMax(bounds);
    unit CONSTANT double precision := (ST_XMax(bounds) - west) / 4096;
    margin CONSTANT geometry := ST_Expand(bounds, 64 * unit);
    above bigint [];
    amount bigint;
    all_of_it bigint;
BEGIN
    IF layer.pieces + layer.lists > 0 THEN
        FOR level IN 0..z LOOP
            above := above || hdxjobs.cell_v1(level, x >> (z - level), y >> (z - level));
        END LOOP;
    END IF;
    dropped := 0;
    EXECUTE format(
        'SELECT ST_AsMVT(feature, ''layer'', 4096, ''hdx_shape'', ''hdx_fid'') FROM (%s) AS feature',
        hdxjobs.tile_source_v1(layer, sample, false, condition)
    ) INTO mvt USING bounds, margin, unit, above, most, west, north;
    mvt := coalesce(mvt, '');
    FOR attempt IN 1..6 LOOP
        EXIT WHEN length(mvt) <= max_bytes;
        EXECUTE format(
            'SELECT ST_AsMVT(feature, ''layer'', 4096, ''hdx_shape'', ''hdx_fid''), count(*) FROM ('
            'SELECT * FROM (%s) AS source WHERE hdx_shape IS NOT NULL LIMIT $8) AS feature',
            hdxjobs.tile_source_v1(layer, sample, true, condition)
        ) INTO mvt, amount USING bounds, margin, unit, above, most, west, north, amount;
        all_of_it := coalesce(all_of_it, amount);
        dropped := all_of_it - amount;
        amount := greatest(floor(amount * 0.8 * max_bytes / length(mvt)), 1);
    END LOOP;
END;
$$;

COMMENT ON FUNCTION hdxjobs.live_tile_v1(hdxjobs.layer, integer, integer, integer, text, bigint, text)
IS 'A tile made from the tables, at most 500,000 bytes; dropped: features that did not fit';

-- A look at a layer that is not prepared yet: a sample of what the planner says is too much.  A bitmap scan would find
-- all rows of a tile before the limit takes a few of them, and a scan of the whole table those of everywhere else.
CREATE OR REPLACE FUNCTION hdxjobs.preview_tile_v1(
    layer hdxjobs.layer, z integer, x integer, y integer, condition text,
    OUT mvt bytea, OUT dropped bigint, OUT sampled boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
SET enable_bitmapscan = off
SET enable_seqscan = off
AS $$
DECLARE
    max_rows CONSTANT bigint := 2500;
    max_bytes CONSTANT bigint := 4000000;
    expected double precision := layer.feature_count;
    row_bytes double precision;
    most bigint;
    sample text := '';
BEGIN
    IF expected > max_rows THEN
        expected := hdxjobs.estimate_v1(layer.table_name, ST_TileEnvelope(z, x, y));
    END IF;
    row_bytes := coalesce(
        layer.preview_row_bytes,
        pg_table_size(format('hdxjobs.%I', layer.table_name)::regclass) / greatest(layer.feature_count, 1)
    );
    most := greatest(least(max_rows, max_bytes / greatest(row_bytes, 1)), 1);
    sampled := expected > most;
    IF sampled AND expected * 5 > layer.feature_count THEN
        sample := format('TABLESAMPLE SYSTEM (%s)', least(200.0 * most / expected, 100));
    END IF;
    SELECT t.mvt, t.dropped INTO mvt, dropped
    FROM hdxjobs.live_tile_v1(layer, z, x, y, sample, most, condition) AS t;
    -- Large shapes may be missing, or be there in rough.
    sampled := sampled OR layer.geometry_type NOT IN ('Point', 'MultiPoint');
END;
$$;

COMMENT ON FUNCTION hdxjobs.preview_tile_v1(hdxjobs.layer, integer, integer, integer, text)
IS 'A tile of a layer that is not prepared: whole where that is cheap, else a sample';

-- A heavy tile of some of the features: in cells of eight pixels one stands for all that are smaller.
-- Large shapes come as they are drawn in the stored tile, under the tile's key made negative.
CREATE OR REPLACE FUNCTION hdxjobs.filtered_tile_v1(
    layer hdxjobs.layer, z integer, x integer, y integer, condition text, OUT mvt bytea, OUT dropped bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
AS $$
DECLARE
    max_bytes CONSTANT integer := 500000;
    bounds geometry := ST_TileEnvelope(z, x, y);
    unit double precision := (ST_XMax(bounds) - ST_XMin(bounds)) / 4096;
    most bigint := 5000;
    found bigint;
BEGIN
    FOR attempt IN 0..6 LOOP
        EXECUTE format(
            'WITH small AS MATERIALIZED ('
            'SELECT min(hdx_fid) AS fid, count(*) AS amount FROM ('
            'SELECT hdx_fid, ST_Dimension(hdx_geom) AS kind, ST_XMin(hdx_geom) AS west, ST_XMax(hdx_geom) AS east,'
            ' ST_YMin(hdx_geom) AS south, ST_YMax(hdx_geom) AS north FROM hdxjobs.%1$I'
            ' WHERE hdx_geom && $2 AND NOT hdx_walk AND (%2$s)) AS hit'
            ' GROUP BY kind, floor((west + east) / 2 / $4), floor((south + north) / 2 / $4),'
            ' CASE WHEN greatest(east - west, north - south) < $4 THEN 0 ELSE hdx_fid END'
            '), feature AS ('
            'SELECT hdx_fid, hdxjobs.tile_shape_v2(hdx_geom, $1, $3, $3, 4 * $3) AS hdx_shape,'
            ' nullif(amount, 1) AS point_count %3$s FROM small INNER JOIN hdxjobs.%1$I ON hdx_fid = fid'
            ' UNION ALL SELECT hdx_fid, hdxjobs.tile_shape_v2(shape, $1, $3, $3, 4 * $3) AS hdx_shape,'
            ' NULL::bigint AS point_count %3$s FROM hdxjobs.%4$I INNER JOIN hdxjobs.%1$I ON hdx_fid = fid'
            ' WHERE cell = -$5 - 1 AND (%2$s)%5$s) '
            'SELECT (SELECT ST_AsMVT(kept, ''layer'', 4096, ''hdx_shape'', ''hdx_fid'') FROM ('
            'SELECT * FROM feature WHERE hdx_shape IS NOT NULL LIMIT $6) AS kept), (SELECT count(*) FROM feature)',
            layer.table_name, condition, hdxjobs.tile_properties_v2(layer.fields, true),
            'p' || substr(layer.table_name, 2),
            CASE
                WHEN layer.lists > 0 THEN format(
                    ' UNION ALL SELECT hdx_fid, hdxjobs.tile_shape_v2(hdx_geom, $1, $3, $3, 4 * $3) AS hdx_shape,'
                    ' NULL::bigint AS point_count %3$s FROM hdxjobs.%1$I WHERE hdx_fid = ANY('
                    '(SELECT fids FROM hdxjobs.%4$I WHERE cell = -$5 - 1 AND fids IS NOT NULL)::bigint[]) AND (%2$s)',
                    layer.table_name, condition, hdxjobs.tile_properties_v2(layer.fields, true),
                    'p' || substr(layer.table_name, 2)
                )
                ELSE ''
            END
        ) INTO mvt, found USING bounds, ST_Expand(bounds, 64 * unit), unit, 64 * unit, hdxjobs.cell_v1(z, x, y), most;
        dropped := greatest(coalesce(found, 0) - most, 0);
        EXIT WHEN mvt IS NULL OR length(mvt) <= max_bytes;
        most := greatest(floor(least(most, found) * 0.8 * max_bytes / length(mvt)), 1);
    END LOOP;
    mvt := coalesce(mvt, '');
END;
$$;

COMMENT ON FUNCTION hdxjobs.filtered_tile_v1(hdxjobs.layer, integer, integer, integer, text)
IS 'A heavy tile of the features that fulfil a condition (SQL of hdxjobs.filter_v1); at most 500,000 bytes';

-- A tile of a layer whose row in the registry the caller has read: who may, is decided there.
CREATE OR REPLACE FUNCTION hdxjobs.tile_of_v1(
    layer hdxjobs.layer, z integer, x integer, y integer, options jsonb, packed boolean,
    OUT mvt bytea, OUT state text, OUT dropped bigint, OUT is_packed boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    max_rows CONSTANT bigint := 20000;
    condition text := 'true';
    heavy boolean := false;
    made record;
BEGIN
    dropped := 0;
    is_packed := false;
    IF z NOT BETWEEN 0 AND 24 OR x NOT BETWEEN 0 AND (1 << z) - 1 OR y NOT BETWEEN 0 AND (1 << z) - 1 THEN
        mvt := '';
        state := 'outside';
        RETURN;
    END IF;
    IF options IS NOT NULL THEN
        condition := hdxjobs.filter_v1(layer.fields, options -> 'filter');
        layer.fields := hdxjobs.chosen_fields_v1(layer.fields, options -> 'fields');
    END IF;
    IF layer.prepared_at IS NULL THEN
        made := hdxjobs.preview_tile_v1(layer, z, x, y, condition);
        mvt := made.mvt;
        dropped := made.dropped;
        state := CASE WHEN made.sampled THEN 'preview' ELSE 'live' END;
        RETURN;
    END IF;
    IF layer.tiles > 0 THEN
        -- A worker of the release before still stores tiles without a column for the gzip copy: then "packed" is
        -- that of "older".
        EXECUTE format(
            'SELECT CASE WHEN $2 AND $3 THEN coalesce(t.packed, t.mvt) WHEN $2 THEN t.mvt END,'
            ' $3 AND t.packed IS NOT NULL, t.dropped, true'
            ' FROM (SELECT NULL::bytea AS packed) AS older'
            ' CROSS JOIN LATERAL (SELECT mvt, dropped, packed FROM hdxjobs.%I WHERE cell = $1) AS t',
            's' || substr(layer.table_name, 2)
        ) INTO mvt, is_packed, dropped, heavy USING hdxjobs.cell_v1(z, x, y), options IS NULL, packed;
        IF mvt IS NOT NULL THEN
            state := 'stored';
            RETURN;
        END IF;
    END IF;
    is_packed := false;
    IF heavy THEN
        made := hdxjobs.filtered_tile_v1(layer, z, x, y, condition);
        state := 'filtered';
    ELSE
        made := hdxjobs.live_tile_v1(layer, z, x, y, '', max_rows, condition);
        state := CASE WHEN z > layer.capped_zoom THEN 'capped' ELSE 'live' END;
    END IF;
    mvt := made.mvt;
    dropped := made.dropped;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_of_v1(hdxjobs.layer, integer, integer, integer, jsonb, boolean)
IS 'hdxjobs.tile_v3 of a row of the registry';

CREATE OR REPLACE FUNCTION hdxjobs.tile_v3(
    layer_id text, version bigint, z integer, x integer, y integer, options jsonb, packed boolean,
    OUT mvt bytea, OUT state text, OUT dropped bigint, OUT is_packed boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    layer hdxjobs.layer;
    made record;
BEGIN
    SELECT l.* INTO layer
    FROM hdxjobs.layer AS l
    INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
    WHERE
        l.layer_id = tile_v3.layer_id
        AND l.generation = tile_v3.version
        AND l.published_at IS NOT NULL
        AND r.tombstone_gen < l.generation;
    IF FOUND THEN
        made := hdxjobs.tile_of_v1(layer, z, x, y, options, packed);
        mvt := made.mvt;
        state := made.state;
        dropped := made.dropped;
        is_packed := made.is_packed;
    END IF;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_v3(text, bigint, integer, integer, integer, jsonb, boolean)
IS 'Mapbox vector tile of a layer''s version: source layer "layer", extent 4096, feature id = the file''s; empty: nothing there; NULL: no such layer or version. options: {"fields": [names], "filter": CQL2 JSON}. state: stored, live, filtered (a heavy tile thinned for its filter), preview (a sample: not prepared yet), capped (may lack features), outside; dropped: features left out for the tile''s size; packed: whether the gzip copy may be given where one is stored, and is_packed: whether it was';

CREATE OR REPLACE FUNCTION hdxjobs.tile_v2(
    layer_id text, version bigint, z integer, x integer, y integer, options jsonb DEFAULT NULL,
    OUT mvt bytea, OUT state text, OUT dropped bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    tile record;
BEGIN
    tile := hdxjobs.tile_v3(layer_id, version, z, x, y, options, false);
    mvt := tile.mvt;
    state := tile.state;
    dropped := tile.dropped;
END;
$$;

COMMENT ON FUNCTION hdxjobs.tile_v2(text, bigint, integer, integer, integer, jsonb)
IS 'hdxjobs.tile_v3, never packed';

CREATE OR REPLACE FUNCTION hdxjobs.tile_v1(layer_id text, version bigint, z integer, x integer, y integer)
RETURNS bytea
LANGUAGE sql
VOLATILE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
SELECT t.mvt
FROM hdxjobs.tile_v2(layer_id, version, z, x, y) AS t;
$$;

COMMENT ON FUNCTION hdxjobs.tile_v1(text, bigint, integer, integer, integer)
IS 'The bytes of hdxjobs.tile_v2 alone';

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
