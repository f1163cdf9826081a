"""Never two imports of one resource at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ckanext.hdxjobs.errors import LoadError
from ckanext.hdxjobs.geopreview import db

#: Seconds to wait for another import of the same resource to notice that it was overtaken.
WAIT_S = 30


@contextmanager
def alone(resource_id: str, dsn: str) -> Iterator[Callable[[], None]]:
    """Hold a resource's lock in the map database; it vanishes with this process, or with the server.

    Gives what asks whether it is still held, and raises if not.

    :raises LoadError: code "interrupted" when another import does not end, "database-unavailable" when the
        lock is lost
    """
    number = int.from_bytes(
        hashlib.sha256(f"hdxjobs.import:{resource_id}".encode()).digest()[:8], "big", signed=True
    )
    with db.session(dsn, error=LoadError) as connection:
        with connection.cursor() as cursor:
            if not _locked(cursor, number):
                raise LoadError("interrupted")
        connection.commit()

        def require() -> None:
            with connection, connection.cursor() as cursor:
                cursor.execute(db.query("session_lives"))

        yield require


def _locked(cursor: Any, number: int) -> bool:
    until = time.monotonic() + WAIT_S
    while True:
        cursor.execute(db.queries()["try_import_lock"], {"number": number})
        if (cursor.fetchone() or (False,))[0]:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
