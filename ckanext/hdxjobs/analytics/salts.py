"""The day's salt: what makes a visitor's hash good for one day and for nobody else.

It lives in the table ``hdxjobs_salt`` until the day is over, so that all processes agree, and in memory
as long.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from ckanext.hdxjobs.analytics.sql import query

Ask = Callable[[str, Mapping[str, Any]], Any]


class Salts:
    """The salt of today (UTC, by the database's clock) as this process knows it."""

    def __init__(self) -> None:
        self._salt = b""
        self._until = 0.0

    def today(self, ask: Ask) -> bytes:
        """The salt.

        :param ask: runs a statement with its parameters and returns the rows
        """
        now = time.monotonic()
        if now >= self._until:
            rows = ask(query("salt"), {"salt": secrets.token_bytes(32)})
            self._salt = bytes(rows[0][0])
            self._until = now + float(rows[0][1])
        return self._salt
