"""What a check asks over the network and of the disk: the map database, its tiles role, Redis, free space."""

from __future__ import annotations

import ipaddress
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from ckanext.hdxjobs.errors import LoadError, PreviewError
from ckanext.hdxjobs.geopreview import db

_GB = 1000**3


@dataclass(frozen=True)
class Finding:
    """What a probe found.

    :ivar ok: False: somebody has to do something
    """

    part: str
    ok: bool
    detail: str


def map_database(dsn: str) -> Finding:
    """Whether it answers, takes data, and has the schema of this release."""
    try:
        version, postgis, schema, read_only = _first_row(dsn, "versions")
    except PreviewError as error:
        return Finding("map database", ok=False, detail=db.explained(error))
    detail = f"PostgreSQL {version.split()[0]}, PostGIS {postgis}, schema {schema}"
    if schema is None or schema < db.SCHEMA_VERSION:
        detail += f" instead of {db.SCHEMA_VERSION}; run: ckan hdxjobs init-db"
    elif schema > db.SCHEMA_VERSION:
        detail += f", of a newer release; this one knows {db.SCHEMA_VERSION}: install that release here too"
    if read_only:
        detail += (
            ", read-only: maps are shown, none is made; make it writable, or name its primary in postgis.url"
        )
    return Finding("map database", ok=schema == db.SCHEMA_VERSION and not read_only, detail=detail)


def tiles_role(dsn: str) -> Finding:
    """Whether the role of web requests may run the tile functions, and read nothing else."""
    try:
        role, runs, reads, owns = _first_row(dsn, "tiles_rights")
    except PreviewError as error:
        return Finding("tiles role", ok=False, detail=db.explained(error, setting="tiles_url"))
    if not runs:
        return Finding("tiles role", ok=False, detail=f"{role} may not make tiles; run: ckan hdxjobs init-db")
    if owns:
        advice = "web requests have the loader's rights; a role of their own (postgis.tiles_url) is safer"
        return Finding("tiles role", ok=True, detail=f"{role}: {advice}")
    if reads:
        return Finding(
            "tiles role", ok=False, detail=f"{role} may read more than tiles; take its rights back"
        )
    return Finding("tiles role", ok=True, detail=f"{role} may make tiles and read nothing else")


def redis_server(client: redis.Redis) -> Finding:
    """Its version, and whether strangers can write to it.

    :raises redis.RedisError: it does not answer
    """
    version = f"Redis {client.info('server')['redis_version']}"
    address = _address(client)
    if address is None or not _asks_nobody(client):
        return Finding("Redis", ok=True, detail=version)
    exposed = exposure(address)
    return Finding("Redis", ok=exposed.ok, detail=f"{version}{exposed.detail}")


def exposure(address: str) -> Finding:
    """What it means that Redis answers at an address without a password.

    Workers run what they find in Redis: who can write there has their rights.
    """
    reach = ipaddress.ip_address(address.partition("%")[0])
    if reach.is_loopback:
        return Finding("Redis", ok=True, detail="")
    if reach.is_global:
        advice = "set a password (requirepass, and in ckan.redis.url): who can write there runs code in the workers"
        return Finding("Redis", ok=False, detail=f", open to the world at {address}; {advice}")
    return Finding("Redis", ok=True, detail=f", asks nobody who reaches {address} for a password")


def disk(part: str, folder: Path, *, least_bytes: int) -> Finding:
    """Whether there is room for what will be written to a folder, which need not exist yet."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / _GB:.1f} GB free"
    if free < least_bytes:
        detail += f", {least_bytes / _GB:.1f} GB are needed at {folder}"
    return Finding(part, ok=free >= least_bytes, detail=detail)


def _first_row(dsn: str, name: str) -> tuple[Any, ...]:
    hurried = db.session(dsn, error=LoadError, timeout_s=db.HURRIED_CONNECT_TIMEOUT_S)
    with hurried as connection, connection, connection.cursor() as cursor:
        cursor.execute(db.query("hurry"))
        cursor.execute(db.query(name))
        return tuple(cursor.fetchone() or ())


def _address(client: redis.Redis) -> str | None:
    """Where a client's server is; None: behind a socket of this machine."""
    settings = client.connection_pool.connection_kwargs
    host = settings.get("host")
    if not host:
        return None
    return str(socket.getaddrinfo(host, settings.get("port"), type=socket.SOCK_STREAM)[0][4][0])


def _asks_nobody(client: redis.Redis) -> bool:
    """Whether the server answers whoever names no password."""
    pool = client.connection_pool
    settings = {
        key: value for key, value in pool.connection_kwargs.items() if key not in ("username", "password")
    }
    stranger = redis.Redis(
        connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **settings)
    )
    try:
        return bool(stranger.ping())
    except redis.RedisError:
        return False
    finally:
        stranger.connection_pool.disconnect()
