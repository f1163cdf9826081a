-- What only an administrator may do; run by db.init, may be run again.
-- Placeholders: {{loader}}, {{tiles}}, {{database}}.
CREATE EXTENSION IF NOT EXISTS postgis;

CREATE SCHEMA IF NOT EXISTS hdxjobs AUTHORIZATION {loader};

REVOKE ALL ON SCHEMA hdxjobs FROM PUBLIC;

-- Before PostgreSQL 15 anybody could put functions beside PostGIS's own.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {loader};

GRANT CONNECT ON DATABASE {database} TO {tiles};
