"""The stack: which programs it has and the order in which they come up."""

from __future__ import annotations

import fcntl
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from devstack import ckan, packages, postgres, processes, redis, sites, solr
from devstack.fakes import client
from devstack.paths import (
    CKAN_INI,
    HERE,
    PORT_FILE,
    PORTS,
    ROOT,
    SHARED,
    VENV,
    chosen_port,
    make_folders,
    write,
)
from devstack.processes import Program
from devstack.steps import step

QUEUES = {"worker-geo": "geo_q", "worker-analytics": "analytics_q"}
SWEEP_EVERY_S = 15


def servers() -> tuple[Program, ...]:
    """The servers that know nothing of CKAN's code."""
    return (
        Program(
            "postgres",
            postgres.command(),
            ready=postgres.answers,
            port=PORTS.postgres,
            user=postgres.system_user(),
            stop_signal="INT",
            folder=postgres.data(),  # its user may not enter the checkout
        ),
        *(
            Program(name, server.command(), ready=server.answers, port=server.port)
            for name, server in (("redis", redis.MAIN), ("redis-2", redis.SECOND))
        ),
        Program(
            "solr",
            solr.command(),
            ready=solr.answers,
            port=PORTS.solr,
            sources=(solr.PARTS, solr.CONFIGSET, *solr.core_files()),
            patience_s=120,
        ),
        Program(
            "fake-sinks",
            shlex.join(
                [str(VENV / "bin" / "python"), "-m", "devstack.fake_sinks", "--port", str(PORTS.fake_sinks)]
            ),
            ready=client.Fake(client.URL).answers,
            port=PORTS.fake_sinks,
            sources=(HERE / "fake_sinks.py", HERE / "fakes"),
        ),
    )


def site() -> tuple[Program, ...]:
    """The web server, the workers and the sweep."""
    code = (ROOT / "ckanext", CKAN_INI, HERE / "wsgi.py")
    workers = tuple(
        Program(name, shlex.join(ckan.command("jobs", "worker", queue)), sources=code, settle_s=4)
        for name, queue in QUEUES.items()
    )
    sweep = Program(
        "sweep",
        shlex.join(ckan.command("hdxjobs", "sweep", "--every", str(SWEEP_EVERY_S))),
        sources=code,
        settle_s=4,
    )
    web = Program(
        "ckan", shlex.join(ckan.server()), ready=ckan.answers, port=PORTS.ckan, sources=code, patience_s=90
    )
    return (web, *workers, sweep)


def programs() -> tuple[Program, ...]:
    """All programs, in the order in which they start."""
    return servers() + site()


@contextmanager
def alone() -> Iterator[None]:
    """Two commands at once must not set up the same checkout."""
    SHARED.mkdir(exist_ok=True)
    with (SHARED / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("Waiting for another ./dev of this checkout"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> None:
    """Install what the machine lacks."""
    make_folders()
    wanted = packages.missing()
    if wanted:
        with step("System packages") as it:
            it.note(", ".join(need.name for need in wanted))
            packages.install(wanted)
    if not solr.jars_are_here():
        with step("Solr: its jars from Maven"):
            solr.fetch_jars()


def start_servers() -> None:
    """Start PostgreSQL, Redis, Solr and the fake sinks."""
    with step("Settings and the process manager") as it:
        write(PORT_FILE, str(chosen_port()))
        note = postgres.prepare()
        redis.prepare()
        solr.prepare()
        ckan.write_settings()
        processes.start_manager(programs())
        if note:
            it.note(note)
    _bring_up(servers())


def start_site() -> None:
    """Start CKAN, the workers and the sweep."""
    with step("Databases of the site"):
        ckan.make_databases(sites.SITE.ini, sites.SITE.databases)
    _bring_up(site())
    with step("Administrator and API token"):
        ckan.administrator_token()


def _bring_up(several: tuple[Program, ...]) -> None:
    # All are started before the first is waited for: they come up side by side.
    notes = {}
    with step(f"Starting {', '.join(program.name for program in several)}"):
        for program in several:
            notes[program.name] = processes.start(program)
    for program in several:
        with step(program.name) as it:
            processes.wait(program)
            it.note(notes[program.name])


def up() -> None:
    """Bring up everything that is missing or down."""
    with alone():
        install()
        start_servers()
        start_site()


def down() -> None:
    """Stop everything."""
    with alone(), step("Stopping"):
        processes.stop_all([program.name for program in reversed(programs())])
