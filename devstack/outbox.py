"""A database with the outbox's tables and nothing else, for tests and benchmarks."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from ckanext.hdxjobs.analytics.outbox import Outbox, Parcel
from devstack.fakes.sample import SAMPLE
from devstack.paths import ROOT

REVISION = ROOT / "ckanext/hdxjobs/migration/hdxjobs/versions/8c2a64e91f07_events.py"


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """The URL of a new database; it is gone afterwards.

    :param server_url: of a superuser, to any database of the server
    """
    name = f"events_{uuid.uuid4().hex[:8]}"
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    run(server_url, f"CREATE DATABASE {name}")
    try:
        _make_tables(url)
        yield url
    finally:
        run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def run(url: str, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """One statement by itself; its rows."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def _make_tables(url: str) -> None:
    """Run the extension's own migration, which needs no CKAN."""
    engine = sa.create_engine(url)
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        _revision().upgrade()
    engine.dispose()


def _revision() -> ModuleType:
    spec = importlib.util.spec_from_file_location("events_revision", REVISION)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(REVISION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def empty(url: str) -> None:
    """Forget all events and all that is known of sinks."""
    run(url, "TRUNCATE hdxjobs_event, hdxjobs_sink, hdxjobs_event_tally")


def fill(url: str, sink: str, count: int, *, visitors: int = 50, name: str = "resource download") -> set[str]:
    """Put events into the outbox; their ids."""
    outbox = Outbox(url)
    ids = [str(uuid.uuid4()) for _ in range(count)]
    for start in range(0, count, 10_000):
        outbox.put(
            [
                Parcel(
                    event_id=event_id,
                    name=name,
                    visitor_id=f"visitor-{number % visitors}",
                    session_id=str(1_764_000_000 + number % visitors),
                    properties=SAMPLE,
                    sinks=(sink,),
                )
                for number, event_id in enumerate(ids[start : start + 10_000], start)
            ]
        )
    outbox.close()
    return set(ids)
