"""A site of its own: PostgreSQL, Redis, a web server; two workers and a sweep that are started again when they die."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from subprocess import TimeoutExpired
from typing import Any

import psycopg2
import requests

from devstack import ckan, outbox, postgres, solr
from devstack.chaos import cluster, disk, family, files, gates
from devstack.chaos.origin import Origin
from devstack.chaos.overlaps import Cut
from devstack.fakes import client
from devstack.own_site import TOOLS, Site, free_port, until
from devstack.paths import CKAN_INI, DEV
from devstack.steps import run, step

FOLDER = DEV / "chaos"
CKAN_DATABASE, MAP_DATABASE = "ckan_chaos", "geo_chaos"
ORGANIZATION, EDITOR = "chaos", "chaos-editor"
WORKERS = ("worker-1", "worker-2")
SWEEP, SWEEP_EVERY_S = "sweep", 2
TABLESPACE = "hdxjobs_chaos"

#: Seconds stand for the minutes that the site's patience takes: tries are due at once, and silence is long.
HURRY = {
    "next_at = now()": "state = 'retrying' AND next_at > now() AND heartbeat_at < now() - interval '3 s'",
    "heartbeat_at = heartbeat_at - interval '1 min'": "state = 'running'"
    " AND heartbeat_at BETWEEN now() - interval '45 s' AND now() - interval '5 s'",
    "rung_at = rung_at - interval '1 min'": "state IN ('queued', 'retrying')"
    " AND rung_at BETWEEN now() - interval '60 s' AND now() - interval '8 s'",
    "finished_at = finished_at - interval '1 min'": "state <> 'deleted'"
    " AND finished_at BETWEEN now() - interval '60 s' AND now() - interval '8 s'",
}
#: It never waits for anybody, so that it is in nobody's way.
HURRIED = """
UPDATE hdxjobs_preview SET {change} WHERE resource_id IN (
    SELECT resource_id FROM hdxjobs_preview WHERE {rows} FOR UPDATE SKIP LOCKED
)
"""
LEFT = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"
#: Whoever ended a preview and did not tell so is dead.
LAST = "UPDATE hdxjobs_preview SET finished_at = finished_at - interval '1 min 5 s' WHERE state <> 'deleted'"


class Grounds(Site):
    """The site and what looks after it.

    :ivar editor_token: of the editor of the organization
    :ivar origin: another server, with files that resources link to
    :ivar has_disk: the map database is on a disk of its own
    :ivar cuts: when sessions of the map database were ended, and imports lost their locks
    """

    def __init__(self, lacking: str | None = None) -> None:
        """:param lacking: a guard of ``breaks`` that workers and sweep do without"""
        shutil.rmtree(FOLDER, ignore_errors=True)
        self.work_folder = FOLDER / "work"
        self.work_folder.mkdir(parents=True)
        self.postgres_port, self.origin = free_port(), Origin()
        self.ckan_url = self.database(postgres.OWNER, CKAN_DATABASE)
        options = {
            "ckan.site_id": CKAN_DATABASE,
            "sqlalchemy.url": self.ckan_url,
            "ckanext.hdxjobs.postgis.url": self.database(postgres.LOADER, MAP_DATABASE),
            "ckanext.hdxjobs.postgis.tiles_url": self.database(postgres.TILES, MAP_DATABASE),
            "ckanext.hdxjobs.geopreview.work_folder": self.work_folder,
            "ckanext.hdxjobs.geopreview.link_hosts_allowed": self.origin.host,
            "ckanext.hdxjobs.analytics.enabled": "false",
        }
        super().__init__(FOLDER, client.Fake(client.URL), base_ini=CKAN_INI, options=options)
        lacks = (sys.executable, "-m", "devstack.chaos.breaks", lacking)
        self._ckan = (*((str(TOOLS / "ckan"),) if lacking is None else lacks), "-c", str(self.ini))
        self.editor_token, self.has_disk = "", False
        self.cuts: list[Cut] = []
        self._gone, self._back_at = False, 0.0
        self._kept: dict[str, tuple[str, ...]] = {}
        self._over, self._keeping = threading.Event(), threading.Lock()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def database(self, role: str, name: str) -> str:
        """The URL of one of its databases."""
        return postgres.url(role, name, port=self.postgres_port)

    def start_postgres(self) -> None:
        """With the databases as they were when it was stopped."""
        # Its user may not enter the checkout.
        words = cluster.command(self.postgres_port)
        self.start("postgres", *words, cwd=cluster.folder(), user=postgres.system_user())
        until(self._postgres_answers)

    def _postgres_answers(self) -> bool:
        with suppress(psycopg2.OperationalError):
            self.ask_server("SELECT 1")
            return True
        return False

    @contextmanager
    def postgres_stopped(self, how: signal.Signals) -> Iterator[None]:
        """CKAN's database is away too, so that pages and saves fail meanwhile."""
        self._gone = True
        with self._cut():
            self.signal("postgres", how)
            self.running["postgres"].wait(timeout=cluster.STOPPING_S)
        try:
            yield
        finally:
            self.start_postgres()
            self._back_at = time.monotonic()
            self._gone = False

    def was_away(self, *, since: float) -> bool:
        """Whether PostgreSQL was stopped at any time since a moment of ``time.monotonic()``."""
        return self._gone or self._back_at > since

    def await_postgres(self) -> None:
        until(lambda: not self._gone)

    def open(self) -> None:
        """Start workers and sweep, and from now on again whatever dies."""
        self._kept = dict.fromkeys(WORKERS, (*self._ckan, "jobs", "worker", "geo_q"))
        self._kept[SWEEP] = (*self._ckan, "hdxjobs", "sweep", "--every", str(SWEEP_EVERY_S))
        self._start_missing()
        self._keeper.start()

    def _keep(self) -> None:
        while not self._over.wait(0.5):
            self._start_missing()

    def _start_missing(self) -> None:
        with self._keeping:
            for name, command in self._kept.items():
                if name not in self.running or self.running[name].poll() is not None:
                    self.start(name, *command)

    @contextmanager
    def without_sweep(self) -> Iterator[None]:
        with self._keeping:
            command = self._kept.pop(SWEEP)
            self.kill(SWEEP)
        try:
            yield
        finally:
            with self._keeping:
                self._kept[SWEEP] = command
                self.start(SWEEP, *command)

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

    def last_sweep(self) -> None:
        """Nobody is left who could tell of an end, or make one."""
        self.ask_ckan(LAST)
        self.sweep(self._ckan)

    def stop(self) -> None:
        """Nothing is started again; PostgreSQL by a word: killed, it leaves shared memory behind."""
        self._over.set()
        if self._kept:
            self._keeper.join()
        if "postgres" in self.running:
            self.signal("postgres", cluster.IMMEDIATE)
            with suppress(TimeoutExpired):
                self.running["postgres"].wait(timeout=cluster.STOPPING_S)
        super().stop()

    def pid(self, name: str) -> int:
        return self.running[name].pid

    def horses(self) -> list[family.Process]:
        return family.horses(self.pid(name) for name in WORKERS if name in self.running)

    def busy_horses(self) -> list[family.Process]:
        """Those that have begun; a work folder of its own is what an import has first."""
        return [horse for horse in self.horses() if family.has_open(horse.pid, self.work_folder)]

    def orphans(self) -> list[family.Process]:
        """At work after their parents died: this process's children now; who was just born sees that it is alone."""
        started = {process.pid for process in list(self.running.values())}
        lonely = [each for each in family.horses([os.getpid()]) if each.pid not in started]
        return [each for each in lonely if family.has_begun(each.pid, self.work_folder)]

    def send(self, action: str, file: files.File, *, token: str = "", **data: str) -> dict[str, Any]:
        """An action with a file."""
        upload = {"upload": (file.name, file.content)}
        return dict(self.call(action, files=upload, token=token, format=file.format, **data))

    def ask_ckan(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return outbox.run(self.ckan_url, statement, parameters)

    def ask_map(self, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        return outbox.run(self.database(postgres.SUPERUSER, MAP_DATABASE), statement, parameters)

    def ask_server(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """As the superuser, and in neither of the site's databases."""
        return outbox.run(self.database(postgres.SUPERUSER, "postgres"), statement, parameters)

    def cut(self, statement: str) -> None:
        """End sessions of the map database.

        :param statement: tells their numbers too
        """
        with self._cut():
            ended = [pid for pid, *_ in self.ask_server(statement, [MAP_DATABASE])]
            until(lambda: not self.ask_server(LEFT, [ended]))

    @contextmanager
    def _cut(self) -> Iterator[None]:
        began = datetime.now()
        try:
            yield
        finally:
            self.cuts.append(Cut(began, datetime.now()))

    def hurry(self) -> None:
        for change, rows in HURRY.items():
            self.ask_ckan(HURRIED.format(change=change, rows=rows))


@contextmanager
def made(lacking: str | None = None) -> Iterator[Grounds]:
    """A site and its servers; gone afterwards, but for the logs."""
    family.adopt_orphans()
    _clear()
    grounds = Grounds(lacking)
    try:
        with step("A site of its own"):
            _set_up(grounds)
        yield grounds
    finally:
        grounds.stop()
        grounds.origin.close()
        family.end_descendants()
        _clear()


def _set_up(grounds: Grounds) -> None:
    cluster.make()
    grounds.start_postgres()
    grounds.start_redis()
    port = grounds.postgres_port
    grounds.has_disk = disk.mount()
    if grounds.has_disk:
        postgres.make_database(MAP_DATABASE, owner=postgres.LOADER, port=port)
        grounds.ask_server(f"CREATE TABLESPACE {TABLESPACE} LOCATION '{disk.folder()}'")
        grounds.ask_server(f"ALTER DATABASE {MAP_DATABASE} SET TABLESPACE {TABLESPACE}")
    databases = {CKAN_DATABASE: postgres.OWNER, MAP_DATABASE: postgres.LOADER}
    ckan.make_databases(grounds.ini, databases, port=port)
    grounds.ask_map(gates.INSTALL)
    with ThreadPoolExecutor(1) as aside:
        web = aside.submit(grounds.start_web)
        _make_sysadmin(grounds)
        web.result()
    grounds.open()
    _make_editor(grounds)


def _make_sysadmin(grounds: Grounds) -> None:
    person = ("email=chaos@localhost.localdomain", "password=chaos-chaos")
    run(ckan.command("user", "add", "chaos", *person, ini=grounds.ini))
    run(ckan.command("sysadmin", "add", "chaos", ini=grounds.ini))
    words = ("user", "token", "add", "--quiet", "chaos", "chaos")
    grounds.token = run(ckan.command(*words, ini=grounds.ini)).split()[-1]


def _make_editor(grounds: Grounds) -> None:
    email = f"{EDITOR}@localhost.localdomain"
    grounds.call("user_create", name=EDITOR, email=email, password="chaos-chaos")
    grounds.editor_token = grounds.call("api_token_create", user=EDITOR, name=EDITOR)["token"]
    editor = {"name": EDITOR, "capacity": "editor"}
    grounds.call("organization_create", name=ORGANIZATION, users=[editor])


def _clear() -> None:
    cluster.remove()
    disk.unmount()
    forget = {"delete": {"query": f"site_id:{CKAN_DATABASE}"}}
    requests.post(f"{solr.url(solr.CORE)}/update?commit=true", json=forget, timeout=30).raise_for_status()
