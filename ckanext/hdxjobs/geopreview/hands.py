"""Connections that work side by side: for each of them the database has a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from psycopg2 import extensions

from ckanext.hdxjobs.errors import PublishError
from ckanext.hdxjobs.geopreview import db

Share = TypeVar("Share")
Result = TypeVar("Result")


class Hands:
    """One or more connections; the first is the caller's own.

    :ivar cursors: one of each
    """

    def __init__(self, connections: Sequence[extensions.connection], pool: ThreadPoolExecutor) -> None:
        self._connections = connections
        self._pool = pool
        self.cursors = [connection.cursor() for connection in connections]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what all of them did, or nothing of it where it fails before the end."""
        with ExitStack() as stack:
            for connection in self._connections:
                stack.enter_context(connection)
            yield

    def each(self, work: Callable[[Any, Share], Result], shares: Sequence[Share]) -> list[Result]:
        """What ``work`` makes of the shares, each on a connection of its own; all are done, or have failed."""
        return list(self._pool.map(work, self.cursors, shares))

    def aside(self, work: Callable[[Any], Result]) -> Future[Result]:
        """Begin something on the last of the connections, in a transaction of its own; the only one waits for it."""
        connection, cursor = self._connections[-1], self.cursors[-1]

        def run() -> Result:
            with connection:
                return work(cursor)

        begun = self._pool.submit(run)
        if len(self._connections) == 1:
            begun.result()
        return begun


@contextmanager
def hired(connection: extensions.connection, *, dsn: str, count: int) -> Iterator[Hands]:
    """Connections beside the caller's, until there are ``count``.

    :raises PublishError: the map database is away
    """
    with ExitStack() as stack:
        more = [stack.enter_context(db.session(dsn, error=PublishError)) for _ in range(count - 1)]
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=count))
        yield Hands([connection, *more], pool)
