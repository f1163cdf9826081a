"""A map database of a benchmark's own, and statements in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from ckanext.hdxjobs.geopreview import db
from devstack import environment


def run(dsn: str, statement: str, *params: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


@contextmanager
def scratch() -> Iterator[tuple[str, str]]:
    """A map database of the run's own: its URLs for loading and for reading."""
    server = urlsplit(environment.for_tests()["HDXJOBS_TEST_PG_URL"])
    name = f"bench_{os.getpid()}"
    admin = psycopg2.connect(server.geturl())
    admin.autocommit = True
    cursor = admin.cursor()
    cursor.execute(f"CREATE DATABASE {name}")
    host = server.netloc.rpartition("@")[2]
    urls = [
        urlunsplit(server._replace(netloc=f"{name}_{role}:secret@{host}", path=f"/{name}"))
        for role in ("loader", "tiles")
    ]
    try:
        db.init(urlunsplit(server._replace(path=f"/{name}")), loader_url=urls[0], tiles_url=urls[1])
        yield urls[0], urls[1]
    finally:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP ROLE IF EXISTS {name}_loader")
        cursor.execute(f"DROP ROLE IF EXISTS {name}_tiles")
        admin.close()


def as_admin(loader: str) -> str:
    """The same database as the superuser."""
    server = urlsplit(environment.for_tests()["HDXJOBS_TEST_PG_URL"])
    return urlunsplit(server._replace(path=urlsplit(loader).path))
