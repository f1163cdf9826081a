"""Years of use in an hour: ./dev soak loads thousands of small resources through the API and writes soak.md.

    ./dev soak [--resources N] [--workers N] [--dry-run]

The site, its databases and its Redis are made for the run.  One publisher uploads as quickly as the API
takes it; for the last fifth the workers are suspended, which tells what they do when nobody else works.
Afterwards single files come one by one, which tells how long a publisher waits on a quiet site.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
import requests
from rq.suspension import resume, suspend

from benchmarks import analytics_requests, soak_files, soak_log, soak_report
from benchmarks.databases import as_admin, run, scratch
from benchmarks.measure import Latencies, resident_mb
from benchmarks.soak_report import Found
from benchmarks.soak_watch import Watch, Watched
from devstack import outbox, solr
from devstack.chaos import family
from devstack.own_site import TOOLS, Site, until
from devstack.paths import DEV
from devstack.steps import step

LOGS = DEV / "soak"
#: Resources of a dataset.
EACH = 5
#: Files that come one by one at the end, and seconds in which each must be ready.
SINGLE, PATIENCE_S = 40, 60
#: Seconds a resource may take on average before the run is given up.
SLOWEST_S = 10
SWEEP_EVERY_S = 60

_UNSETTLED = "SELECT count(*) FROM hdxjobs_preview WHERE state IN ('queued', 'running', 'retrying')"
_STATES = "SELECT state, count(*) FROM hdxjobs_preview GROUP BY state ORDER BY count(*) DESC"
_TIMES = """
SELECT
    extract(epoch FROM queued_at)::float, extract(epoch FROM finished_at)::float
FROM hdxjobs_preview WHERE finished_at IS NOT NULL ORDER BY finished_at
"""
_STATE = "SELECT state FROM hdxjobs_preview WHERE resource_id = %s"
_WAITED = """
SELECT extract(epoch FROM finished_at - queued_at)::float * 1000 FROM hdxjobs_preview WHERE resource_id = %s
"""
_ROWS = "SELECT sum((layers -> 0 ->> 'feature_count')::integer) FROM hdxjobs_preview"
_TABLES = """
SELECT count(*) FROM pg_class
WHERE relnamespace = 'hdxjobs'::regnamespace AND relkind = 'r' AND relname ~ '^[lsp]_'
"""
_LIVE = "SELECT count(*) FROM hdxjobs.layer WHERE published_at IS NOT NULL AND retired_at IS NULL"


class Soak:
    """A site with workers and a sweep."""

    def __init__(self, site: Site, loader: str, work_folder: Path, workers: int) -> None:
        self.site, self.work_folder = site, work_folder
        self.admin = as_admin(loader)
        self.names = tuple(f"worker-{number}" for number in range(1, workers + 1))
        self._over = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, daemon=True)

    def open(self) -> None:
        for name in self.names:
            self.site.start(name, str(TOOLS / "ckan"), "-c", str(self.site.ini), "jobs", "worker", "geo_q")
        self._sweeper.start()

    def close(self) -> None:
        self._over.set()
        self._sweeper.join()

    def _sweep(self) -> None:
        """As cron does it."""
        while not self._over.wait(SWEEP_EVERY_S):
            self.site.sweep()

    def worker_mb(self) -> tuple[float, ...]:
        return tuple(resident_mb(self.site.running[name].pid) for name in self.names)

    def job_mb(self) -> float:
        horses = family.horses(self.site.running[name].pid for name in self.names)
        return max((resident_mb(horse.pid) for horse in horses), default=0.0)

    def watched(self) -> Watched:
        return Watched(
            worker_mb=self.worker_mb,
            job_mb=self.job_mb,
            ckan_url=analytics_requests.dsn(),
            map_name=urlsplit(self.admin).path.strip("/"),
            redis_port=self.site.redis_port,
            work_folder=self.work_folder,
        )

    def upload(self, number: int) -> tuple[str, int]:
        """The id of a new resource, and how many features its file has."""
        dataset = f"soak-{number // EACH}"
        if number % EACH == 0:
            self.site.call("package_create", name=dataset)
        file = soak_files.make(number)
        made = self.site.call(
            "resource_create", package_id=dataset, name=file.name, format=file.format,
            files={"upload": (file.name, file.content)},
        )  # fmt: skip
        return str(made["id"]), file.count

    def redis(self) -> redis.Redis:
        return redis.Redis(port=self.site.redis_port)

    def ask(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return outbox.run(analytics_requests.dsn(), statement, parameters or None)


@contextmanager
def soaking(workers: int) -> Iterator[Soak]:
    """A site of its own; gone afterwards, but for the logs."""
    with tempfile.TemporaryDirectory() as folder, scratch() as (loader, reads):
        options = {
            "ckanext.hdxjobs.postgis.url": loader,
            "ckanext.hdxjobs.postgis.tiles_url": reads,
            "ckanext.hdxjobs.geopreview.work_folder": folder,
            "ckanext.hdxjobs.analytics.enabled": "false",
        }
        with analytics_requests.site(options) as site:
            soak = Soak(site, loader, Path(folder), workers)
            try:
                soak.open()
                yield soak
            finally:
                soak.close()
                site.stop()
                shutil.rmtree(LOGS, ignore_errors=True)
                shutil.copytree(site.folder, LOGS, ignore=shutil.ignore_patterns("storage"))
                _forget_index()


def _forget_index() -> None:
    forget = {"delete": {"query": f"site_id:{analytics_requests.DATABASE}"}}
    requests.post(f"{solr.url(solr.CORE)}/update?commit=true", json=forget, timeout=30).raise_for_status()


def measure(resources: int, workers: int) -> Found:
    """The whole run."""
    with soaking(workers) as soak:
        watch = Watch(soak.watched())
        watch.start()
        features = 0
        with step(f"{resources} uploads"):
            began = time.monotonic()
            for number in range(resources):
                if number == resources - resources // 5:
                    suspend(soak.redis())
                features += soak.upload(number)[1]
            uploads_s = time.monotonic() - began
        with step("The rest of the queue") as it:
            rest, began = int(soak.ask(_UNSETTLED)[0][0]), time.monotonic()
            resume(soak.redis())
            until(lambda: soak.ask(_UNSETTLED)[0][0] == 0, seconds=resources * SLOWEST_S + PATIENCE_S)
            rest_s = time.monotonic() - began
            it.note(f"{rest} maps")
        ended = soak.ask(_TIMES)
        with step(f"{SINGLE} files one by one"):
            alone, more = _one_by_one(soak, resources)
        samples = watch.stop()
        return Found(
            resources=resources,
            workers=workers,
            states=dict(soak.ask(_STATES)),
            times=ended,
            uploads_s=uploads_s,
            rest=(rest, rest_s),
            alone=alone,
            samples=samples,
            steps=soak_log.medians(soak.site.said(name) for name in soak.names),
            features=(features + more, int(soak.ask(_ROWS)[0][0])),
            tables=(int(run(soak.admin, _TABLES)[0][0]), int(run(soak.admin, _LIVE)[0][0])),
        )


def _one_by_one(soak: Soak, first: int) -> tuple[Latencies, int]:
    """From the save to the map, while nobody else waits; and how many features these files have."""
    waited, features = Latencies(), 0
    for number in range(first - first % EACH + EACH, first - first % EACH + EACH + SINGLE):
        resource_id, count = soak.upload(number)
        features += count
        until(lambda: soak.ask(_STATE, resource_id)[0][0] == "ready", seconds=PATIENCE_S)  # noqa: B023
        waited.ms.append(soak.ask(_WAITED, resource_id)[0][0])
    return waited, features


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.splitlines()[0])
    parser.add_argument("--resources", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="leave the report as it is")
    asked = parser.parse_args(arguments)
    found = measure(asked.resources, asked.workers)
    return soak_report.write(found, to_page=not asked.dry_run)
