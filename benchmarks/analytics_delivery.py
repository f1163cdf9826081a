"""How fast events leave the outbox, beside the official library and beside a job an event."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from benchmarks.measure import Latencies, Visitor, resident_mb
from devstack import ckan, outbox
from devstack.fakes import client
from devstack.own_site import Site
from devstack.paths import DEV, ROOT
from devstack.steps import run

MIXPANEL = "mixpanel==5.4.1"
EVENTS = 60_000
LONE_VISITORS = 8_000
CALLS = 1_500
JOBS = 40
BACKLOG = 1_000_000


@dataclass(frozen=True)
class Speed:
    """How fast a drain was, from the first batch to an empty outbox.

    :ivar rss_mb: the most memory that the process had
    """

    events: int
    requests: int
    seconds: float
    rss_mb: float

    @property
    def events_a_second(self) -> float:
        return self.events / self.seconds

    @property
    def requests_a_second(self) -> float:
        return self.requests / self.seconds


def start_drain(sink: str, dsn: str, fake: client.Fake, *, nice: int = 0) -> subprocess.Popen[str]:
    """A drain as a process of its own.

    :param nice: how much it yields to others, as README.rst recommends for workers
    """
    command = [
        "nice",
        "-n",
        str(nice),
        sys.executable,
        "-m",
        "devstack.drainer",
        sink,
        "--dsn",
        dsn,
        "--fake",
        fake.url,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def drain(sink: str, dsn: str, fake: client.Fake, *, count: int, visitors: int) -> Speed:
    """Fill the outbox and drain it with one process; nothing may be missing."""
    outbox.empty(dsn)
    fake.reset()
    ids = outbox.fill(dsn, sink, count, visitors=visitors)
    outbox.run(dsn, "VACUUM ANALYZE hdxjobs_event")
    process = start_drain(sink, dsn, fake)
    if process.stdout is None:
        raise RuntimeError("the drain has no output")
    first = int(process.stdout.readline().split()[1])
    began, most_mb = time.perf_counter(), 0.0
    for _ in process.stdout:
        most_mb = max(most_mb, resident_mb(process.pid))
    seconds = time.perf_counter() - began
    process.wait()
    known = fake.stats(sink)
    if set(fake.ids(sink)) != ids or known["duplicates"]:
        raise RuntimeError(f"{sink}: not all events arrived, or some twice: {known}")
    return Speed(count - first, known["requests"], seconds, most_mb)


def library(fake: client.Fake) -> tuple[float, float]:
    """The official library, one call an event: events a second, and milliseconds that a call holds a request."""
    tools = DEV / "bench-venv" / "bin"
    if not (tools / "python").exists():
        run([sys.executable, "-m", "venv", tools.parent])
    run([tools / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", MIXPANEL])
    command = [str(tools / "python"), "-m", "benchmarks.mixpanel_library", fake.url, str(CALLS)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rate, call_ms = map(float, done.stdout.split())
    return rate, call_ms


def job_an_event(made: Site) -> float:
    """CKAN's worker with a job for each event: events a second, its start not counted."""
    redis_url = f"redis://127.0.0.1:{made.redis_port}/0"
    command = [sys.executable, "-m", "benchmarks.job_an_event"]
    subprocess.run(
        [*command, str(made.ini), redis_url, made.fake.url, str(JOBS + 1)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    made.fake.reset()
    worker = ckan.command("jobs", "worker", "--burst", "bench_q", ini=made.ini)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        worker, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while made.fake.stats("mixpanel")["unique"] < 1:
            time.sleep(0.01)
        began = time.perf_counter()
        while made.fake.stats("mixpanel")["unique"] < JOBS + 1:
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.wait()
    return JOBS / seconds


@dataclass
class Backlog:
    """A million waiting events: how the drain and the site bore it.

    :ivar rss_mb: memory of the drain, a sample a second, over both its kills
    """

    seconds: float = 0.0
    kills: int = 0
    unique: int = 0
    duplicates: int = 0
    rss_mb: list[float] = field(default_factory=list)
    before: Latencies = field(default_factory=Latencies)
    during: Latencies = field(default_factory=Latencies)

    def quarters_mb(self) -> list[float]:
        """The most memory in each quarter of the time."""
        size = max(1, len(self.rss_mb) // 4)
        return [max(self.rss_mb[start : start + size]) for start in range(0, 4 * size, size)]


def million(dsn: str, fake: client.Fake, visitor: Visitor) -> Backlog:
    """Drain a million events, kill the drain twice on the way, and go on asking the site meanwhile."""
    found = Backlog()
    _fill_by_sql(dsn, BACKLOG)
    fake.reset()
    visitor.ask(Latencies(), 30)
    visitor.ask(found.before, 300, every_s=0.1)
    outbox.run(dsn, "DELETE FROM hdxjobs_event WHERE name = 'resource download'")
    ended = threading.Event()
    asking = threading.Thread(target=_ask_until, args=(visitor, found.during, ended))
    began = time.perf_counter()
    asking.start()
    for share in (1 / 3, 2 / 3, 1):
        _drain_to(int(BACKLOG * share), dsn, fake, found)
    found.seconds = time.perf_counter() - began
    ended.set()
    asking.join()
    ours = fake.stats("mixpanel")
    found.unique, found.duplicates = ours["events"]["backlog"], ours["duplicates"]
    return found


def _drain_to(target: int, dsn: str, fake: client.Fake, found: Backlog) -> None:
    """Drain; kill the process once so many have arrived, unless that is all."""
    process = start_drain("mixpanel", dsn, fake, nice=10)
    reader = threading.Thread(target=process.communicate)
    reader.start()
    while process.poll() is None:
        found.rss_mb.append(resident_mb(process.pid) or (found.rss_mb or [0.0])[-1])
        if target < BACKLOG and fake.stats("mixpanel")["unique"] >= target:
            process.kill()
            found.kills += 1
            reader.join()
            # Two minutes pass for what it held.
            outbox.run(dsn, "UPDATE hdxjobs_event SET lease_until = now() WHERE lease IS NOT NULL")
            return
        time.sleep(1)
    reader.join()


def _ask_until(visitor: Visitor, into: Latencies, ended: threading.Event) -> None:
    while not ended.is_set():
        visitor.ask(into, every_s=0.1)


def _fill_by_sql(dsn: str, count: int) -> None:
    outbox.empty(dsn)
    outbox.run(
        dsn,
        """
        INSERT INTO hdxjobs_event (event_id, sink, name, occurred_at, visitor_id, session_id, properties)
        SELECT gen_random_uuid(), 'mixpanel', 'backlog', now(), 'visitor-' || n %% 300000, '1764000000',
               '{"resource name": "boundaries.geojson", "dataset name": "boundaries", "org name": "office",
                 "group names": ["Chad", "Mali"], "authenticated": false, "event source": "direct"}'
          FROM generate_series(1, %s) AS n
        """,
        (count,),
    )
    outbox.run(dsn, "VACUUM ANALYZE hdxjobs_event")
