"""The map database: connections, named queries, and how its schema comes to be."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2 import extensions, sql

from ckanext.hdxjobs.errors import NewerSchema, PreviewError
from ckanext.hdxjobs.geopreview import verdicts

log = logging.getLogger(__name__)

SCHEMA = "hdxjobs"
#: Raised with each change of the files in sql/.
SCHEMA_VERSION = 6
CONNECT_TIMEOUT_S = 5
#: When somebody waits for a save or a page.
HURRIED_CONNECT_TIMEOUT_S = 2

#: A lock's connection says nothing for as long as a download takes: what lies between must not take it for dead,
#: and a server that is dead is noticed within a minute (seconds; milliseconds).
_KEEP_ALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

#: What psycopg2 raises when the database, not the data, is at fault.
UNAVAILABLE = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)

#: What it raises when ``ckan hdxjobs init-db`` was not run, or not with this version.
NOT_SET_UP = (
    psycopg2.errors.InvalidSchemaName,
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedColumn,
    psycopg2.errors.UndefinedFunction,
    psycopg2.errors.InsufficientPrivilege,
)

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@functools.cache
def queries() -> dict[str, str]:
    """The statements of sql/queries.sql by their names."""
    parts = _NAME.split(sql_file("queries.sql"))
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def query(name: str, **identifiers: sql.Composable) -> sql.Composable:
    """A named statement with its identifiers filled in."""
    return sql.SQL(queries()[name]).format(**identifiers)


def sql_file(name: str) -> str:
    """The text of a file in sql/."""
    return (resources.files(__package__) / "sql" / name).read_text(encoding="utf-8")


def table(name: str) -> sql.Identifier:
    """A layer's table, schema and all."""
    return sql.Identifier(SCHEMA, name)


def connect(
    dsn: str, *, application: str = "hdxjobs", options: str = "", timeout_s: int = CONNECT_TIMEOUT_S
) -> extensions.connection:
    """A connection; times out instead of hanging when the server is away.

    :raises psycopg2.OperationalError: it is away, or the URL cannot be read
    """
    words: dict[str, Any] = {"application_name": application, "options": options, **_KEEP_ALIVE}
    try:
        made: extensions.connection = psycopg2.connect(dsn, connect_timeout=timeout_s, **words)
    except psycopg2.ProgrammingError:
        # What psycopg2 says of it may hold the password.
        raise psycopg2.OperationalError(
            "its URL cannot be read: is a % or @ in it percent-encoded?"
        ) from None
    return made


@contextmanager
def session(
    dsn: str, *, error: type[PreviewError], timeout_s: int = CONNECT_TIMEOUT_S
) -> Iterator[extensions.connection]:
    """A connection that is closed at the end; a database that is away or not set up becomes ``error``.

    Commit by ``with connection:`` inside.
    """
    connection = None
    try:
        connection = connect(dsn, timeout_s=timeout_s)
        yield connection
    except (*UNAVAILABLE, *NOT_SET_UP) as away:
        log.warning("The map database is not usable: %s", reason(away))
        raise error(verdicts.database_code(getattr(away, "pgcode", None))) from away
    finally:
        if connection is not None:
            connection.close()


def reason(error: BaseException) -> str:
    """Why the map database is not usable, in one line for administrators; it holds no password."""
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"{line}; run: ckan hdxjobs init-db" if isinstance(error, NOT_SET_UP) else line


def explained(error: PreviewError, *, setting: str = "url") -> str:
    """What is wrong with the map database, and where to look, in one line for administrators."""
    return f"{error} {reason(error.__cause__ or error)} (setting ckanext.hdxjobs.postgis.{setting})"


def init(admin_dsn: str, *, loader_url: str, tiles_url: str) -> None:
    """Make extension, roles, schema and functions, or bring those of an older release up to date.

    May be run again at any time, and by several at once.  What fails on the way leaves the schema as it was.

    :param admin_dsn: the map database as a role that may create roles and extensions
    :param loader_url: URL of the role that will own the schema and its tables
    :param tiles_url: URL of the role that may only run the tile functions
    :raises NewerSchema: a newer release was here before
    """
    admin = connect(admin_dsn)
    try:
        with admin, admin.cursor() as cursor:
            cursor.execute(query("lock_schema"))
            cursor.execute("SELECT current_user, current_database()")
            admin_name, database = cursor.fetchone() or ("", "")
            roles = [_role(cursor, url, admin_name) for url in dict.fromkeys((loader_url, tiles_url))]
            loader, tiles = roles[0], roles[-1]
            names = {
                "loader": sql.Identifier(loader),
                "tiles": sql.Identifier(tiles),
                "database": sql.Identifier(database),
            }
            cursor.execute(sql.SQL(sql_file("admin.sql")).format(**names))
            if tiles != loader:
                cursor.execute(sql.SQL(sql_file("reader.sql")).format(**names))
    finally:
        admin.close()
    _install(loader_url, tiles)


def _role(cursor: Any, url: str, admin_name: str) -> str:
    """Make sure that the role of a URL exists and has the URL's password."""
    parts = urlsplit(url)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not name or name == admin_name:
        return name or admin_name
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    cursor.execute(
        sql.SQL("{verb} ROLE {name} LOGIN PASSWORD {password}").format(
            verb=verb, name=sql.Identifier(name), password=sql.Literal(password or None)
        )
    )
    return name


def _install(loader_url: str, tiles: str) -> None:
    """Run the schema and the functions as their owner."""
    owner = connect(loader_url)
    try:
        with owner, owner.cursor() as cursor:
            cursor.execute(query("lock_schema"))
            _refuse_newer(cursor)
            cursor.execute(query("postgis_schema"))
            (postgis,) = cursor.fetchone() or ("public",)
            cursor.execute(query("fix_search_path", postgis=sql.Identifier(postgis)))
            cursor.execute(sql_file("schema.sql"))
            for name in ("filters.sql", "tiles.sql", "sharing.sql"):
                cursor.execute(sql_file(name))
            cursor.execute(sql.SQL(sql_file("grants.sql")).format(tiles=sql.Identifier(tiles)))
            cursor.execute(query("note_version"), {"version": SCHEMA_VERSION})
    finally:
        owner.close()


def _refuse_newer(cursor: Any) -> None:
    """Functions of an older release may not know what the tables hold by now."""
    cursor.execute(query("schema_exists"))
    if cursor.fetchone() != (True,):
        return
    cursor.execute(query("schema_version"))
    (found,) = cursor.fetchone() or (None,)
    if found is not None and found > SCHEMA_VERSION:
        message = (
            f"The map database has schema {found}, of a newer release than this one, which knows schema "
            f"{SCHEMA_VERSION}; nothing was changed. Install that release of ckanext-hdxjobs here too."
        )
        raise NewerSchema(message)
