"""The run's header: the versions of all that a failure could depend on; and which site and files a process has."""

from __future__ import annotations

import json
import os
import platform
import urllib.request
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from devstack import sites


def _installed(name: str) -> str:
    return metadata.version(name)


def _gdal() -> str:
    import pyogrio

    return f"{pyogrio.__gdal_version_string__} (pyogrio {pyogrio.__version__})"


def _postgres() -> str:
    import psycopg2

    connection = psycopg2.connect(os.environ["HDXJOBS_TEST_PG_URL"], connect_timeout=2)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version'),"
                " (SELECT default_version FROM pg_available_extensions WHERE name = 'postgis')"
            )
            server, postgis = cursor.fetchone() or ("?", "?")
    finally:
        connection.close()
    return f"{server.split()[0]}, PostGIS {postgis}"


def _redis() -> str:
    import redis

    with redis.Redis.from_url(os.environ["HDXJOBS_TEST_REDIS_URL"], socket_timeout=2) as client:
        return str(client.info("server")["redis_version"])


def _solr() -> str:
    server = os.environ["HDXJOBS_TEST_SOLR_URL"].rpartition("/")[0]
    with urllib.request.urlopen(f"{server}/admin/info/system?wt=json", timeout=2) as reply:
        return str(json.load(reply)["lucene"]["solr-spec-version"])


VERSIONS: dict[str, Callable[[], str]] = {
    "Python": platform.python_version,
    "CKAN": lambda: _installed("ckan"),
    "GDAL": _gdal,
    "PostgreSQL": _postgres,
    "Redis": _redis,
    "Solr": _solr,
}
NEEDS = {
    "PostgreSQL": "HDXJOBS_TEST_PG_URL",
    "Redis": "HDXJOBS_TEST_REDIS_URL",
    "Solr": "HDXJOBS_TEST_SOLR_URL",
}


#: Few tests that take long: begun last, one process would still be at them when the other has nothing to do any more.
LONG_FILES = (
    "service/test_delivery_faults.py",
    "service/test_traps.py",
    "service/test_prepare.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that share a suite take its files in this order: the long ones, then those with the most tests."""
    if sites.WORKER not in os.environ:
        return
    here = Path(__file__).parent
    files = {item: os.path.relpath(item.path, here) for item in items}
    count = Counter(files.values())
    items.sort(key=lambda item: (files[item] not in LONG_FILES, -count[files[item]]))


def pytest_configure(config: pytest.Config) -> None:
    """Processes that share a suite inside CKAN have a site each; its settings are read before any fixture."""
    if sites.WORKER in os.environ and getattr(config.option, "ckan_ini", None):
        config.option.ckan_ini = os.environ["HDXJOBS_TEST_INI"] = str(sites.mine().ini)


def pytest_report_header(config: pytest.Config) -> str:
    """A line a run; servers that this suite does without are left out."""
    parts = []
    for name, version in VERSIONS.items():
        if name in NEEDS and NEEDS[name] not in os.environ:
            continue
        try:
            parts.append(f"{name} {version()}")
        except Exception as exc:
            parts.append(f"{name} unknown ({type(exc).__name__})")
    return "runs on: " + ", ".join(parts)


def pytest_make_parametrize_id(val: object) -> str | None:
    """A file's bytes may hold the time at which they were made, and processes must agree on the names of tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
