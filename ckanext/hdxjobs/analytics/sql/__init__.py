"""The outbox's queries by name; see ``queries.sql``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: *(\w+)\n", flags=re.MULTILINE)


@cache
def query(name: str) -> str:
    """The text of one query; its placeholders are psycopg2's."""
    return _queries()[name]


@cache
def _queries() -> dict[str, str]:
    text = (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    # Comments are cut off: a percent sign in prose would be taken for a placeholder.
    return {
        name: "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
