-- name: clusters
-- 400 places around which points and squares lie.
SELECT setseed(0.42);
CREATE TEMP TABLE clusters AS
SELECT
    i AS i_cluster,
    (random() * 70 - 20)::float8 AS lon,
    (random() * 60 - 30)::float8 AS lat,
    power(random(), 3) * 3 + 0.05 AS s
FROM generate_series(1, 400) AS i;

-- name: points
-- Clustered points with four attributes; $1 points in 400 clusters.
SELECT
    ST_Transform(ST_SetSRID(ST_MakePoint(lon + m * cos(a) * s, lat + m * sin(a) * s), 4326), 3857)::geometry(Geometry, 3857) AS geom,
    'feature ' || i AS name,
    (random() * 1000)::bigint AS amount,
    (ARRAY['school', 'clinic', 'water', 'camp', 'road'])[1 + (random() * 4)::int] AS kind,
    md5(i::text) AS code
FROM (
    SELECT i, (1 + floor(power(random(), 1.7) * 400))::int AS c, sqrt(-2 * ln(random() + 1e-12)) AS m, random() * 2 * pi() AS a
    FROM generate_series(1, %(count)s) AS i
) AS r
INNER JOIN clusters AS k ON k.i_cluster = r.c

-- name: squares
-- Tiny squares, 8 to 38 m, around the same clusters.
SELECT
    ST_Expand(
        ST_Transform(ST_SetSRID(ST_MakePoint(lon + m * cos(a) * s * 0.2, lat + m * sin(a) * s * 0.2), 4326), 3857), 4 + random() * 15
    )::geometry(Geometry, 3857) AS geom,
    'b' || i AS name,
    (random() * 10)::bigint AS storeys
FROM (
    SELECT i, (1 + floor(power(random(), 1.7) * 400))::int AS c, sqrt(-2 * ln(random() + 1e-12)) AS m, random() * 2 * pi() AS a
    FROM generate_series(1, %(count)s) AS i
) AS r
INNER JOIN clusters AS k ON k.i_cluster = r.c

-- name: giant
-- One polygon; its outline wiggles at all scales.
SELECT
    ST_SetSRID(ST_MakePolygon(ST_AddPoint(g, ST_StartPoint(g))), 3857)::geometry(Geometry, 3857) AS geom,
    'giant'::text AS name
FROM (
    SELECT ST_MakeLine(ST_MakePoint(2000000 + rr * cos(t), 500000 + rr * sin(t)) ORDER BY i) AS g
    FROM (
        SELECT
            i, t,
            2500000 * (
                1 + 0.25 * sin(3 * t + 1) + 0.12 * sin(11 * t + 2) + 0.05 * sin(47 * t) + 0.03 * sin(191 * t + .5)
                + 0.015 * sin(911 * t) + 0.006 * sin(4007 * t) + 0.002 * sin(20011 * t) + 0.0006 * sin(100003 * t)
                + 0.0001 * sin(400009 * t)
            ) AS rr
        FROM (SELECT i, 2 * pi() * i / %(count)s AS t FROM generate_series(0, %(count)s - 1) AS i) AS v
    ) AS r
) AS l

-- name: mosaic
-- Neighbouring polygons with wiggling borders, about 3,600 vertices each.
SELECT
    (
        SELECT ST_SetSRID(ST_MakePolygon(ST_MakeLine(ARRAY_AGG(
            ST_MakePoint(
                x + 3000 * sin(y / 9000) + 700 * sin(y / 1900) + 150 * sin(y / 410) + 30 * sin(y / 97),
                y + 3000 * sin(x / 8700) + 700 * sin(x / 2100) + 150 * sin(x / 390) + 30 * sin(x / 101)
            ) ORDER BY p
        ))), 3857)
        FROM (
            SELECT (d).path[1] AS p, ST_X((d).geom) AS x, ST_Y((d).geom) AS y
            FROM (SELECT ST_DumpPoints(ST_ExteriorRing(ST_Segmentize(g, 150))) AS d) AS q
        ) AS z
    )::geometry(Geometry, 3857) AS geom,
    'Area ' || n AS name,
    (random() * 100000)::bigint AS people
FROM (
    SELECT row_number() OVER () AS n, (cell).geom AS g
    FROM (
        SELECT ST_Dump(ST_VoronoiPolygons(ST_Collect(
            ST_SetSRID(ST_MakePoint(random() * 85000 * sqrt(%(count)s), random() * 85000 * sqrt(%(count)s)), 3857)
        ))) AS cell
        FROM generate_series(1, %(count)s)
    ) AS v
) AS cells

-- name: routes
-- Straight lines between places all over the world.
SELECT
    ST_SetSRID(ST_MakeLine(
        ST_MakePoint((random() - 0.5) * 4e7, (random() - 0.5) * 3e7), ST_MakePoint((random() - 0.5) * 4e7, (random() - 0.5) * 3e7)
    ), 3857)::geometry(Geometry, 3857) AS geom,
    'route ' || i AS name
FROM generate_series(1, %(count)s) AS i

-- name: tiny
-- A few points somewhere.
SELECT
    ST_SetSRID(ST_MakePoint((random() - 0.5) * 4e6, (random() - 0.5) * 4e6), 3857)::geometry(Geometry, 3857) AS geom,
    'place ' || i AS name
FROM generate_series(1, %(count)s) AS i
