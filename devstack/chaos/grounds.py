"""A site of its own: two databases, a Redis, a web server; two workers and a sweep that are started again when they die."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from subprocess import TimeoutExpired
from typing import Any

import psycopg2
import requests

from devstack import ckan, outbox, postgres, solr
from devstack.chaos import disk, family, files
from devstack.fakes import client
from devstack.own_site import TOOLS, Site
from devstack.paths import CKAN_INI, DEV
from devstack.steps import run, step

FOLDER = DEV / "chaos"
CKAN_DATABASE, MAP_DATABASE = "ckan_chaos", "geo_chaos"
ORGANIZATION = "chaos"
WORKERS = ("worker-1", "worker-2")
SWEEP = "sweep"
SWEEP_EVERY_S = 2

#: Each import comes through it between loading and publishing: whoever holds its lock shuts it.
GATE = """
CREATE FUNCTION public.chaos_gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(42);
    PERFORM pg_advisory_unlock_shared(42);
END $$;
CREATE EVENT TRIGGER chaos_gate ON ddl_command_start WHEN TAG IN ('CREATE INDEX')
EXECUTE FUNCTION public.chaos_gate();
"""
SHUT = "SELECT pg_advisory_lock(42)"
TABLESPACE = "hdxjobs_chaos"

#: Seconds stand for the minutes that the site's patience takes: tries are due at once, and silence is long.
HURRY = (
    "UPDATE hdxjobs_preview SET next_at = now()"
    " WHERE state = 'retrying' AND next_at > now() AND heartbeat_at < now() - interval '3 s'",
    "UPDATE hdxjobs_preview SET heartbeat_at = heartbeat_at - interval '1 min'"
    " WHERE state = 'running' AND heartbeat_at BETWEEN now() - interval '45 s' AND now() - interval '5 s'",
    "UPDATE hdxjobs_preview SET rung_at = rung_at - interval '1 min' WHERE state IN ('queued', 'retrying')"
    " AND rung_at BETWEEN now() - interval '60 s' AND now() - interval '8 s'",
    "UPDATE hdxjobs_preview SET finished_at = finished_at - interval '1 min' WHERE state <> 'deleted'"
    " AND finished_at BETWEEN now() - interval '60 s' AND now() - interval '8 s'",
)


class Grounds(Site):
    """The site and what looks after it.

    :ivar has_disk: the map database is on a disk of its own
    :ivar cuts: when sessions of the map database were ended, and imports lost their locks
    """

    def __init__(self) -> None:
        shutil.rmtree(FOLDER, ignore_errors=True)
        self.work_folder = FOLDER / "work"
        self.work_folder.mkdir(parents=True)
        self.ckan_url = postgres.url(postgres.OWNER, CKAN_DATABASE)
        options = {
            "ckan.site_id": CKAN_DATABASE,
            "sqlalchemy.url": self.ckan_url,
            "ckanext.hdxjobs.postgis.url": postgres.url(postgres.LOADER, MAP_DATABASE),
            "ckanext.hdxjobs.postgis.tiles_url": postgres.url(postgres.TILES, MAP_DATABASE),
            "ckanext.hdxjobs.geopreview.work_folder": self.work_folder,
            "ckanext.hdxjobs.analytics.enabled": "false",
        }
        super().__init__(FOLDER, client.Fake(client.URL), base_ini=CKAN_INI, options=options)
        self.has_disk = False
        self.cuts: list[datetime] = []
        self._kept: dict[str, tuple[str, ...]] = {}
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def open(self) -> None:
        """Start workers and sweep, and from now on again whatever dies."""
        ckan_ = (str(TOOLS / "ckan"), "-c", str(self.ini))
        self._kept = dict.fromkeys(WORKERS, (*ckan_, "jobs", "worker", "geo_q"))
        self._kept[SWEEP] = (*ckan_, "hdxjobs", "sweep", "--every", str(SWEEP_EVERY_S))
        self._keeper.start()

    def _keep(self) -> None:
        while not self._over.wait(0.5):
            for name, command in self._kept.items():
                if name not in self.running or self.running[name].poll() is not None:
                    self.start(name, *command)

    def end_workers(self) -> None:
        """As a service manager ends them: a word first."""
        self._over.set()
        self._keeper.join()
        for name in self._kept:
            self.signal(name, signal.SIGTERM)
        for name in self._kept:
            with suppress(TimeoutExpired):
                self.running[name].wait(timeout=30)
            self.kill(name)

    def pid(self, name: str) -> int:
        return self.running[name].pid

    def horses(self) -> list[family.Process]:
        return family.horses(self.pid(name) for name in WORKERS if name in self.running)

    def busy_horses(self) -> list[family.Process]:
        """Those that have begun; a work folder of its own is what an import has first."""
        return [horse for horse in self.horses() if family.has_open(horse.pid, self.work_folder)]

    def orphans(self) -> list[family.Process]:
        """What works on after its parent died: it is this process's child now, in a group of its own."""
        started = {process.pid for process in list(self.running.values())}
        return [each for each in family.horses([os.getpid()]) if each.pid not in started]

    def send(self, action: str, file: files.File, **data: str) -> dict[str, Any]:
        """An action with a file."""
        upload = {"upload": (file.name, file.content)}
        made: dict[str, Any] = self.call(action, files=upload, format=file.format, **data)
        return made

    def ask_ckan(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return outbox.run(self.ckan_url, statement, parameters)

    def ask_map(self, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        return outbox.run(postgres.url(postgres.SUPERUSER, MAP_DATABASE), statement, parameters)

    @contextmanager
    def gate_shut(self) -> Iterator[None]:
        """No import comes to its publishing."""
        guard = psycopg2.connect(postgres.url(postgres.SUPERUSER, MAP_DATABASE))
        try:
            guard.cursor().execute(SHUT)
            yield
        finally:
            guard.close()

    def cut(self, statement: str) -> None:
        """End sessions of the map database."""
        self.cuts.append(datetime.now())
        ask_server(statement, [MAP_DATABASE])

    def hurry(self) -> None:
        for statement in HURRY:
            self.ask_ckan(statement)


def ask_server(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """As the superuser, and in neither of the site's databases."""
    return outbox.run(postgres.url(postgres.SUPERUSER, "postgres"), statement, parameters)


@contextmanager
def made() -> Iterator[Grounds]:
    """New databases and a site on them; gone afterwards, but for the logs."""
    family.adopt_orphans()
    _clear()
    grounds = Grounds()
    try:
        with step("A site of its own"):
            _set_up(grounds)
        yield grounds
    finally:
        grounds.stop()
        for orphan in family.descendants():
            with suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGKILL)
        _clear()


def _set_up(grounds: Grounds) -> None:
    grounds.start_redis()
    grounds.has_disk = disk.mount()
    if grounds.has_disk:
        postgres.make_database(MAP_DATABASE, owner=postgres.LOADER)
        ask_server(f"CREATE TABLESPACE {TABLESPACE} LOCATION '{disk.folder()}'")
        ask_server(f"ALTER DATABASE {MAP_DATABASE} SET TABLESPACE {TABLESPACE}")
    ckan.make_databases(grounds.ini, {CKAN_DATABASE: postgres.OWNER, MAP_DATABASE: postgres.LOADER})
    grounds.ask_map(GATE)
    with ThreadPoolExecutor(1) as aside:
        web = aside.submit(grounds.start_web)
        _make_sysadmin(grounds)
        web.result()
    grounds.open()
    grounds.call("organization_create", name=ORGANIZATION)


def _make_sysadmin(grounds: Grounds) -> None:
    person = ("email=chaos@localhost.localdomain", "password=chaos-chaos")
    run(ckan.command("user", "add", "chaos", *person, ini=grounds.ini))
    run(ckan.command("sysadmin", "add", "chaos", ini=grounds.ini))
    words = ("user", "token", "add", "--quiet", "chaos", "chaos")
    grounds.token = run(ckan.command(*words, ini=grounds.ini)).split()[-1]


def _clear() -> None:
    for name in (CKAN_DATABASE, MAP_DATABASE):
        ask_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    ask_server(f"DROP TABLESPACE IF EXISTS {TABLESPACE}")
    disk.unmount()
    forget = {"delete": {"query": f"site_id:{CKAN_DATABASE}"}}
    requests.post(f"{solr.url(solr.CORE)}/update?commit=true", json=forget, timeout=30).raise_for_status()
