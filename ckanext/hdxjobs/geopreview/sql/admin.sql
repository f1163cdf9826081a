-- What only an administrator may do; run by db.init, may be run again.
-- Placeholders: {{loader}}, {{tiles}}, {{database}}.
CREATE EXTENSION IF NOT EXISTS postgis;

CREATE SCHEMA IF NOT EXISTS hdxjobs AUTHORIZATION {loader};

REVOKE ALL ON SCHEMA hdxjobs FROM PUBLIC;

-- Tile servers such as Martin log in as a member of hdxjobs_public: it may run the functions of this schema, no more.
CREATE SCHEMA IF NOT EXISTS hdxjobs_public AUTHORIZATION {loader};

REVOKE ALL ON SCHEMA hdxjobs_public FROM PUBLIC;

DO $$
BEGIN
    CREATE ROLE hdxjobs_public NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END;
$$;

GRANT USAGE ON SCHEMA hdxjobs_public TO hdxjobs_public;

-- Before PostgreSQL 15 anybody could put functions beside PostGIS's own.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {loader};

GRANT CONNECT ON DATABASE {database} TO {tiles};
