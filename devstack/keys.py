"""Passwords and secrets of this checkout: made once, kept in .dev/, readable by the owner only."""

from __future__ import annotations

import json
import secrets

from devstack.paths import DEV

FILE = DEV / "secrets.json"
ADMIN_NAME = "admin"


def _load() -> dict[str, str]:
    if not FILE.exists():
        return {}
    kept: dict[str, str] = json.loads(FILE.read_text())
    return kept


def _save(kept: dict[str, str]) -> None:
    unfinished = FILE.with_suffix(".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(kept, indent=1, sort_keys=True))
    unfinished.replace(FILE)


def secret(name: str) -> str:
    """The secret of that name; made at random when it is first asked for."""
    kept = _load()
    if name not in kept:
        kept[name] = secrets.token_urlsafe(24)
        _save(kept)
    return kept[name]


def remember(name: str, value: str) -> None:
    """Keep a secret that somebody else made, such as an API token."""
    _save({**_load(), name: value})


def known(name: str) -> str | None:
    """The secret of that name, if there is one."""
    return _load().get(name)


def forget(name: str) -> None:
    """Drop a secret that holds no more."""
    kept = _load()
    if kept.pop(name, None) is not None:
        _save(kept)
