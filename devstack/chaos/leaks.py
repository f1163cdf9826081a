"""Secrets of the site where none may be: logs, the ledger, extras, Redis and command lines."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

import redis

from devstack import keys, postgres
from devstack.chaos.grounds import Grounds

ROWS = """
SELECT 'the row of ' || v.resource_id, v::text FROM hdxjobs_preview AS v
UNION ALL
SELECT 'the extras of ' || r.id, coalesce(r.extras, '') FROM resource AS r
"""


def secrets(grounds: Grounds) -> dict[str, str]:
    """What nobody may read, and what it is."""
    roles = (postgres.SUPERUSER, postgres.OWNER, postgres.LOADER, postgres.TILES)
    found = {keys.secret(role): f"the password of {role}" for role in roles}
    return found | {grounds.token: "the sysadmin's token", grounds.editor_token: "the editor's token"}


def told(text: str, known: dict[str, str]) -> list[str]:
    """Which secrets a text holds."""
    return [name for secret, name in known.items() if secret in text]


def places(grounds: Grounds) -> Iterator[tuple[str, str]]:
    """Where each text was found, and the text."""
    for log in sorted(grounds.folder.glob("*.log")):
        yield log.name, log.read_text(errors="replace")
    yield from grounds.ask_ckan(ROWS)
    yield from _redis(grounds)


def _redis(grounds: Grounds) -> Iterator[tuple[str, str]]:
    """All that is kept there; what RQ compressed is unpacked."""
    with redis.Redis(port=grounds.redis_port) as server:
        for key in server.scan_iter():
            values: list[bytes] = [server.dump(key) or b""]
            if server.type(key) == b"hash":
                values += server.hvals(key)
            for value in [*values, *_unpacked(values)]:
                yield f"{key.decode(errors='replace')} in Redis", value.decode(errors="replace")


def _unpacked(values: list[bytes]) -> Iterator[bytes]:
    for value in values:
        with suppress(zlib.error):
            yield zlib.decompress(value)
