"""Fixtures for tests inside CKAN: its databases, ours, and a site with people in it."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import psycopg2
import pyarrow as pa
import pytest
import rq
import sqlalchemy as sa
from ckan import model
from ckan.common import config_declaration
from ckan.lib.jobs import add_queue_name_prefix
from ckan.tests import factories
from ckan.tests.helpers import CKANTestApp
from outbox_view import Events
from sqlalchemy.orm import close_all_sessions
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.analytics import beacon, capture
from ckanext.hdxjobs.geopreview import db, gate, job, parsing, reader
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine
from ckanext.hdxjobs.geopreview.values import Coordinates

OLDER = not tk.check_ckan_version(min_version="2.12")
if OLDER:
    from older import provide_plugin  # noqa: F401
    from older import with_plugins as plugins_of_marks  # noqa: F401


def _admin_url(url: str) -> str:
    """The database of ``url`` as the superuser; made if it is missing."""
    admin = urlsplit(os.environ["HDXJOBS_TEST_PG_URL"])
    database = urlsplit(url).path
    server = psycopg2.connect(urlunsplit(admin))
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database.lstrip("/")])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{database.lstrip("/")}"')
    server.close()
    return urlunsplit(admin._replace(path=database))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the processes of a test's own site said beside its failure."""
    report = yield
    portal = getattr(item, "funcargs", {}).get("portal")
    if report.failed and portal is not None:
        report.sections += [
            (log.name, log.read_text(errors="replace")) for log in portal.folder.glob("*.log")
        ]
    return report


@pytest.fixture(scope="session", autouse=True)
def _loggers_heard() -> None:
    """Reading the ini silences all loggers that exist by then, those of this file's imports too."""
    for name in logging.root.manager.loggerDict:
        if name.startswith("ckanext.hdxjobs"):
            logging.getLogger(name).disabled = False


def _configured(request: pytest.FixtureRequest) -> bool:
    """Whether marks give the test a site of its own.

    Our options do not: no plugin reads them when it is loaded, but for the path of a page.
    """
    if any(request.node.get_closest_marker(name) for name in ("provide_plugin", "with_plugins")):
        return True
    options = {mark.args[0] for mark in request.node.iter_markers("ckan_config")}
    return any(
        option == "ckanext.hdxjobs.metrics.path" or not option.startswith("ckanext.hdxjobs.")
        for option in options
    )


@pytest.fixture
def with_plugins(request: pytest.FixtureRequest, ckan_config: Any) -> None:
    """CKAN's fixture; but the plugins of the ini stay for the next test, for loading takes half a second."""
    if _configured(request):
        request.getfixturevalue("plugins_of_marks" if OLDER else "with_plugins")
    elif not p.plugin_loaded("hdxjobs"):
        p.load_all()
    elif request.node.get_closest_marker("ckan_config"):
        config_declaration.normalize(ckan_config)


@pytest.fixture(scope="session")
def _usual_site() -> dict[str, Any]:
    """The application of the ini, once a test has made it."""
    return {}


@pytest.fixture
def app(request: pytest.FixtureRequest, make_app: Callable[[], Any], _usual_site: dict[str, Any]) -> Any:
    """CKAN's fixture, without cookies; but the application of the ini is made once: that takes a second.

    Options that a test sets without a mark are those of the running site: give them the type that they have.
    """
    gate.admissions.forget()
    if _configured(request):
        return make_app()
    if not _usual_site:
        _usual_site["app"] = make_app().app
    tk.config["testing"] = True
    return CKANTestApp(_usual_site["app"])


@pytest.fixture(scope="session")
def geo_url() -> str:
    """The map database, set up; the loader's URL."""
    settings = config.geo_settings()
    db.init(
        _admin_url(settings.loader_url),
        loader_url=settings.loader_url,
        tiles_url=config.tile_settings().tiles_url,
    )
    return settings.loader_url


@pytest.fixture(scope="session")
def geo_admin_url(geo_url: str) -> str:
    """The map database as its administrator."""
    return _admin_url(geo_url)


@pytest.fixture(scope="session")
def _emptying() -> list[str]:
    """The statements that empty CKAN's tables, once they are there."""
    return []


@pytest.fixture
def clean_db(reset_db: Callable[[], None], _emptying: list[str]) -> None:
    """CKAN's fixture; but it looks for each of its tables, one by one, and that once a process is enough."""
    if _emptying:
        close_all_sessions()
        model.Session.remove()
        with engine().begin() as connection:
            connection.exec_driver_sql(";".join(_emptying))
        return
    reset_db()
    there = set(sa.inspect(engine()).get_table_names()) - {"alembic_version"}
    tables = [table.name for table in reversed(model.repo.metadata.sorted_tables) if table.name in there]
    _emptying += [f'DELETE FROM "{name}"' for name in tables]


@pytest.fixture
def migrated(with_plugins: Any, clean_db: Any, migrate_db_for: Callable[[str], None]) -> None:
    """CKAN's database, empty, with our table; the first cleaning of a run drops that."""
    if not sa.inspect(engine()).has_table(PREVIEW.name):
        migrate_db_for("hdxjobs")


@pytest.fixture
def site(
    migrated: None, clean_index: Any, clean_queues: Any, reset_redis: Callable[..., Any], geo_url: str
) -> Iterator[None]:
    """An empty site: no datasets, no jobs, no layers, Redis believed to be well, and no worker.

    One that a test killed is listed for some minutes.
    """
    reset_redis("rq:worker*")
    with engine().begin() as connection:
        connection.execute(PREVIEW.delete())
    _no_layers(geo_url)
    queues.breaker.close()
    yield
    queues.breaker.close()
    model.Session.remove()


def _no_layers(geo_url: str) -> None:
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM hdxjobs.layer")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE IF EXISTS hdxjobs."{name}"')
        cursor.execute("DELETE FROM hdxjobs.layer")
        cursor.execute("DELETE FROM hdxjobs.resource")
    connection.close()


@pytest.fixture
def jobs() -> Callable[[], list[tuple[str, int]]]:
    """The imports that wait on geo_q: (resource id, generation), oldest first."""

    def waiting() -> list[tuple[str, int]]:
        queue = rq.Queue(add_queue_name_prefix(queues.GEO), connection=queues.connection())
        return [tuple(job.args) for job in queue.jobs]

    return waiting


@pytest.fixture
def new_jobs(jobs: Callable[[], list[Any]]) -> Callable[[], int]:
    """How many imports were queued since the last call."""
    seen = 0

    def count() -> int:
        nonlocal seen
        now = len(jobs())
        new, seen = now - seen, now
        return new

    return count


@pytest.fixture
def dataset(site: None) -> dict[str, Any]:
    """An empty public dataset."""
    made: dict[str, Any] = factories.Dataset()
    return made


@pytest.fixture
def call() -> Callable[..., Any]:
    """An action as a sysadmin who ignores authorisation."""

    def action(name: str, /, **data: Any) -> Any:
        return tk.get_action(name)({"ignore_auth": True, "user": ""}, data)

    return action


@pytest.fixture
def row() -> Callable[[str], dict[str, Any]]:
    """The committed row of a resource."""

    def read(resource_id: str) -> dict[str, Any]:
        with engine().connect() as connection:
            found = connection.execute(PREVIEW.select().where(PREVIEW.c.resource_id == resource_id))
            return dict(found.mappings().one())

    return read


class Browser:
    """A visitor's browser: it keeps its cookies, also where CKAN's test application is a new one at each turn."""

    def __init__(self, app: Any) -> None:
        self._client = app.test_client()
        self.get = self._client.get
        self.post = self._client.post

    def log_in(self, user: dict[str, Any], password: str) -> None:
        form = {"login": user["name"], "password": password}
        self.post("/user/login", data=form, follow_redirects=False)


@pytest.fixture
def browser(app: Any) -> Browser:
    return Browser(app)


class SilentServer:
    """Takes connections and never says a word, like a frozen Redis."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def connections(self) -> int:
        """How many clients came."""
        count = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def silent_server(ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServer]:
    """Nobody waits for it for long, nor asks it twice in a test."""
    ckan_config["ckanext.hdxjobs.redis_timeout_s"] = "0.2"
    monkeypatch.setattr(queues, "BREAK_S", 3600)
    server = SilentServer()
    yield server
    server.close()


@pytest.fixture
def events(site: None) -> Iterator[Events]:
    """The outbox, empty."""
    outbox = Events()
    capture.line.cache_clear()
    queues.heard("events-file")
    beacon.pace = beacon.Pace()
    yield outbox
    outbox.close()


def _many_points(count: int = 300) -> bytes:
    """A layer whose tile is worth compressing."""
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"Place {number}", "rank": number},
            "geometry": {"type": "Point", "coordinates": [number % 100, number % 60]},
        }
        for number in range(count)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _people() -> dict[str, dict[str, Any]]:
    """Visitors by role, as headers of their requests; the organization under "org"."""
    users = {role: factories.UserWithToken() for role in ("member", "editor", "stranger")}
    sysadmin = factories.SysadminWithToken()
    org = factories.Organization(
        users=[{"name": users[role]["name"], "capacity": role} for role in ("member", "editor")]
    )
    factories.Organization(users=[{"name": users["stranger"]["name"], "capacity": "editor"}])
    headers = {role: {"Authorization": user["token"]} for role, user in users.items()}
    return headers | {"sysadmin": {"Authorization": sysadmin["token"]}, "anonymous": {}, "org": org}


class _ReaderHere:
    """What reads a file for a job, without a process of its own: starting that takes half of the time of a layer."""

    def __init__(self, path: Path, asked: dict[str, Any], **_: Any) -> None:
        self._file = parsing.File(path, FORMATS[asked["format"]], Coordinates(**asked["coordinates"]))

    def ask(self, _request: dict[str, Any]) -> dict[str, Any]:
        return self._file.inspect()

    def batches(self, request: dict[str, Any], report: dict[str, Any]) -> Iterator[Any]:
        features = io.BytesIO()
        report.update(self._file.stream(request["layer"], features))
        yield from pa.ipc.open_stream(features.getvalue())

    def bytes_read(self) -> None:
        """Nobody watches."""

    def close(self) -> None:
        """There is nothing to end."""


def _layer(org_id: str, *, private: bool) -> dict[str, Any]:
    """The only layer of a new dataset, with its resource's and dataset's ids."""
    package = factories.Dataset(owner_org=org_id, private=private)
    upload = FileStorage(io.BytesIO(_many_points()), filename="places.geojson")
    context = {"ignore_auth": True, "user": ""}
    resource = tk.get_action("resource_create")(
        dict(context), {"package_id": package["id"], "name": "Places", "upload": upload}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "Child", _ReaderHere)
        job.run_preview(resource["id"], 1)
    found = tk.get_action("hdx_geopreview_status")(dict(context), {"id": resource["id"]})["layers"][0]
    model.Session.remove()
    return found | {"resource_id": resource["id"], "package_id": package["id"]}


@pytest.fixture
def people(site: None) -> dict[str, dict[str, Any]]:
    return _people()


@pytest.fixture
def layer(site: None, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A layer of a public dataset, for tests that change it; of the people's organization if the test has people."""
    alone = "people" not in request.fixturenames
    org = factories.Organization() if alone else request.getfixturevalue("people")["org"]
    return _layer(org["id"], private=False)


@pytest.fixture(scope="module")
def _standing() -> dict[str, Any]:
    """What ``world`` made; a module's tests share it."""
    return {}


@pytest.fixture
def world(_standing: dict[str, Any], with_plugins: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    """People, a public and a private layer: made once for a module whose tests only look.

    Importing takes a second or two, so that a test for each visitor and door could not have its own.
    """
    if not _standing:
        request.getfixturevalue("site")
        people = _people()
        _standing["people"] = people
        _standing["public"] = _layer(people["org"]["id"], private=False)
        _standing["private"] = _layer(people["org"]["id"], private=True)
    return _standing
