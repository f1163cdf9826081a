"""Gates in the map database through which each import comes, and which can be shut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import psycopg2


class Gate(IntEnum):
    """Each import comes through them; whoever holds the lock with its number shuts one."""

    LOAD = 41
    PUBLISH = 42
    PREPARE = 43


INSTALL = r"""
CREATE FUNCTION public.chaos_gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    gate integer := CASE
        WHEN tg_tag = 'CREATE INDEX' THEN 42
        WHEN current_query() LIKE 'CREATE TABLE "hdxjobs"."l\_%' THEN 41
        WHEN current_query() LIKE '%CREATE TABLE "hdxjobs"."s\_%' THEN 43
    END;
BEGIN
    PERFORM pg_advisory_lock_shared(gate);
    PERFORM pg_advisory_unlock_shared(gate);
END $$;
CREATE EVENT TRIGGER chaos_gate ON ddl_command_start WHEN TAG IN ('CREATE INDEX', 'CREATE TABLE')
EXECUTE FUNCTION public.chaos_gate();
"""
SHUT = "SELECT pg_advisory_lock(%s)"
WAITING = """
SELECT 1 FROM pg_locks
WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@contextmanager
def shut(url: str, gate: Gate) -> Iterator[None]:
    """No import comes further.

    :param url: of the map database, as its superuser
    """
    guard = psycopg2.connect(url)
    try:
        guard.cursor().execute(SHUT, [gate])
        yield
    finally:
        guard.close()
