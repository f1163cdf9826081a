"""What tracking costs a request, while all is well and while Redis or the outbox is not."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg2

from benchmarks.measure import Latencies, Visitor
from devstack import ckan, outbox, postgres
from devstack.fakes import client
from devstack.own_site import Site, until
from devstack.paths import CKAN_INI, ROOT
from devstack.steps import run, step

DATABASE = "ckan_bench"
WARM_UP = 30
PAIRS, TURNS = 3_000, 15
FROZEN_S, FROZEN_A_SECOND = 65, 10


@contextmanager
def site(more: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Site]:
    """A web server on a new database, a Redis, and a fake to send to.

    :param more: lines of its configuration
    """
    server = postgres.url(postgres.SUPERUSER, "postgres")
    outbox.run(server, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    postgres.make_database(DATABASE, owner=postgres.OWNER)
    with tempfile.TemporaryDirectory() as folder, client.running(nice=10) as fake:
        options = {"sqlalchemy.url": dsn(), "ckan.site_id": DATABASE, **more}
        made = Site(Path(folder), fake, base_ini=CKAN_INI, options=options)
        try:
            with step("A site of its own"):
                _set_up(made)
                made.start_web()
            yield made
        finally:
            made.stop()
            outbox.run(server, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def dsn() -> str:
    """CKAN's database for the benchmark."""
    return postgres.url(postgres.OWNER, DATABASE)


def _set_up(made: Site) -> None:
    made.start_redis()
    for words in (("db", "init"), ("db", "upgrade", "-p", "hdxjobs")):
        run(ckan.command(*words, ini=made.ini))
    run(
        ckan.command(
            "user", "add", "bench", "email=bench@localhost.localdomain", "password=bench-bench", ini=made.ini
        )
    )
    run(ckan.command("sysadmin", "add", "bench", ini=made.ini))
    made.token = run(ckan.command("user", "token", "add", "--quiet", "bench", "bench", ini=made.ini)).split()[
        -1
    ]


@dataclass(frozen=True)
class Cost:
    """Requests with tracking and without, and tracking's own work in them and after them."""

    on: Latencies
    off: Latencies
    inside: Latencies
    after: Latencies

    def added_ms(self, share: float) -> float:
        """What tracking adds at a percentile: the median of several turns, so that one bad moment does not decide."""
        size = len(self.on.ms) // TURNS
        turns = [slice(start, start + size) for start in range(0, TURNS * size, size)]
        return statistics.median(
            Latencies(self.on.ms[turn]).at(share) - Latencies(self.off.ms[turn]).at(share) for turn in turns
        )


def cost(made: Site, address: str) -> Cost:
    """Downloads in one process, with tracking and without in turns."""
    path = address.removeprefix(made.url)
    command = [sys.executable, "-m", "benchmarks.one_request", str(made.ini), path, str(PAIRS)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(**{name: Latencies(ms) for name, ms in json.loads(done.stdout.splitlines()[-1]).items()})


def usual(visitor: Visitor) -> Latencies:
    """Downloads over HTTP while all is well."""
    visitor.ask(Latencies(), WARM_UP)
    times = Latencies()
    visitor.ask(times, 200, every_s=0.05)
    return times


def frozen_redis(made: Site, visitor: Visitor) -> Latencies:
    """Downloads at a steady pace while Redis takes connections and says nothing."""
    made.signal("redis", signal.SIGSTOP)
    times = Latencies()
    visitor.ask(times, FROZEN_S * FROZEN_A_SECOND, every_s=1 / FROZEN_A_SECOND)
    made.signal("redis", signal.SIGCONT)
    return times


@contextmanager
def locked_outbox() -> Iterator[None]:
    """The table answers nobody: what a slow or hung database looks like."""
    connection = psycopg2.connect(dsn())
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE hdxjobs_event IN ACCESS EXCLUSIVE MODE")
        yield
    connection.rollback()
    connection.close()


@contextmanager
def missing_outbox() -> Iterator[None]:
    """The table refuses everything at once."""
    outbox.run(dsn(), "ALTER TABLE hdxjobs_event RENAME TO hdxjobs_event_away")
    yield
    outbox.run(dsn(), "ALTER TABLE hdxjobs_event_away RENAME TO hdxjobs_event")


def without_outbox(
    visitor: Visitor, trouble: Callable[[], AbstractContextManager[None]], times: int
) -> Latencies:
    """Downloads while the outbox does not take them."""
    measured = Latencies()
    with trouble():
        visitor.ask(measured, times)
    return measured


def delivered(made: Site, expected: int) -> int:
    """Downloads that a worker and a sweep bring to the fake in the end."""
    made.start_worker()
    made.sweep()
    until(lambda: made.downloads_arrived() >= expected, seconds=120)
    time.sleep(2)
    made.kill_with_children("worker")
    return made.downloads_arrived()
