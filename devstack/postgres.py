"""PostgreSQL with PostGIS: one cluster for CKAN, the map data and the tests."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

import psycopg2
from psycopg2 import sql

from devstack import keys
from devstack.paths import DEV, PORTS, outside
from devstack.steps import StepError, run

SYSTEM_USER = "postgres"
SUPERUSER = "postgres"
OWNER = "ckan"
LOADER = "hdxjobs_loader"
TILES = "hdxjobs_tiles"

# Given on the command line, so that a change of them restarts the server.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def programs() -> Path | None:
    """The folder with the newest installed PostgreSQL that has PostGIS, or None."""
    found = [
        int(folder.name)
        for folder in Path("/usr/lib/postgresql").glob("*")
        if (folder / "bin/postgres").exists()
        and Path(f"/usr/share/postgresql/{folder.name}/extension/postgis.control").exists()
    ]
    return Path(f"/usr/lib/postgresql/{max(found)}/bin") if found else None


def system_user() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def _reachable(folder: Path) -> bool:
    """Whether PostgreSQL's own user may enter all of a folder's parents."""
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def data() -> Path:
    """The data folder: in .dev/, or elsewhere if PostgreSQL's user cannot come in here."""
    away = outside() / "postgres"
    if system_user() and (away.exists() or not _reachable(DEV)):
        return away
    return DEV / "postgres"


def command() -> str:
    """What the process manager starts; prepare() has seen to it that it is there."""
    return shlex.join(server(data(), PORTS.postgres))


def server(folder: Path, port: int, **more: str) -> list[str]:
    """The command line of a cluster's server.

    :param more: settings beside ours
    """
    settings = SETTINGS | {"port": str(port)} | more
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str((programs() or Path()) / "postgres"), "-D", str(folder), *words]


def _programs() -> Path:
    binaries = programs()
    if binaries is None:
        raise StepError("PostgreSQL with PostGIS is not installed")
    return binaries


def prepare() -> str:
    """Make the cluster if there is none; returns a note."""
    folder, binaries = data(), _programs()
    version = folder / "PG_VERSION"
    if not version.exists():
        make_cluster(folder)
    elif version.read_text().strip() != binaries.parent.name:
        raise StepError(
            f"the data in {folder} is of PostgreSQL {version.read_text().strip()}, "
            f"installed is {binaries.parent.name}",
            advice="./dev reset makes the development data anew",
        )
    return "" if folder.is_relative_to(DEV) else f"data in {folder}, because {DEV} is in a private folder"


def make_cluster(folder: Path) -> None:
    """An empty cluster in place of whatever is there, as what a killed initdb leaves."""
    user = system_user()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as password:
        password.write(keys.secret("postgres"))
        password.flush()
        if user:
            shutil.chown(folder, user, user)
            shutil.chown(password.name, user, user)
        run(
            [
                _programs() / "initdb",
                *("-D", folder, "-U", SUPERUSER, "--pwfile", password.name),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
            ],
            user=user,
        )


def url(role: str, database: str, *, port: int = PORTS.postgres) -> str:
    """A libpq URL with the role's password."""
    return f"postgresql://{role}:{keys.secret(role)}@127.0.0.1:{port}/{database}"


def answers() -> bool:
    """Whether the server takes connections."""
    try:
        psycopg2.connect(url(SUPERUSER, "postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError as exc:
        if re.search("password authentication failed", str(exc)):
            raise StepError(
                f"the PostgreSQL on port {PORTS.postgres} does not know our password: it is not ours",
                advice="set HDXJOBS_DEV_PORT to another number, for example 5100",
            ) from exc
        return False
    return True


def make_database(name: str, *, owner: str, port: int = PORTS.postgres) -> None:
    """Make a role that may log in and a database that it owns, or leave them as they are."""
    connection = psycopg2.connect(url(SUPERUSER, "postgres", port=port))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (owner,))
            verb = sql.SQL("ALTER") if cursor.fetchone() else sql.SQL("CREATE")
            cursor.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    verb, sql.Identifier(owner), sql.Literal(keys.secret(owner))
                )
            )
            cursor.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,))
            if not cursor.fetchone():
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                        sql.Identifier(name), sql.Identifier(owner)
                    )
                )
    finally:
        connection.close()


def remove() -> None:
    """Delete the cluster, wherever it is."""
    for folder in (data(), outside()):
        shutil.rmtree(folder, ignore_errors=True)
