"""PostgreSQL within a deadline: an answer in time, or an error, whatever the server does.

``statement_timeout`` is the server's promise, and a frozen or unreachable server keeps none.  So these
connections are asynchronous and the waiting is done here.  Each statement is its own transaction.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions

Row = tuple[Any, ...]


class LateError(Exception):
    """The server did not answer in time."""


class Wire:
    """A few connections of this process, made when needed and shared by its threads.

    :param dsn: libpq's connection string or URL
    :param deadline_s: seconds for a statement, connecting included
    :param idle: connections that are kept open between statements
    """

    def __init__(self, dsn: str, *, deadline_s: float, idle: int = 2) -> None:
        self._dsn = dsn
        self._deadline_s = deadline_s
        self._most_idle = idle
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._pid = os.getpid()

    def run(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """One statement and its rows.

        :raises LateError: no answer in time
        :raises psycopg2.Error: the server refused, or the connection broke
        """
        until = time.monotonic() + self._deadline_s
        connection = self._take()
        if connection is not None:
            try:
                return self._ask(connection, sql, parameters, until)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                # Kept open across a restart of the server: once more, on a new one.
                pass
        return self._ask(self._connect(until), sql, parameters, until)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(self, connection: Any, sql: str, parameters: Mapping[str, Any], until: float) -> list[Row]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                _wait(connection, until)
                rows: list[Row] = cursor.fetchall() if cursor.description else []
        except psycopg2.DatabaseError as error:
            if isinstance(error, psycopg2.OperationalError):
                connection.close()
            else:
                self._give_back(connection)
            raise
        except BaseException:
            # It may still be busy with the statement: nobody else may have it.
            connection.close()
            raise
        self._give_back(connection)
        return rows

    def _connect(self, until: float) -> Any:
        connection = psycopg2.connect(
            self._dsn,
            async_=1,
            application_name="hdxjobs events",
            options=f"-c synchronous_commit=off -c statement_timeout={int(self._deadline_s * 1000)}",
        )
        try:
            _wait(connection, until)
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self) -> Any | None:
        with self._lock:
            if self._pid != os.getpid():
                # A forked child must not speak on its parent's sockets, nor close its sessions.
                self._pid = os.getpid()
                _inherited.extend(self._idle)
                self._idle = []
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if len(self._idle) < self._most_idle and not connection.closed:
                self._idle.append(connection)
                return
        connection.close()


#: Connections of the parent process: kept, because collecting them would end the parent's sessions.
_inherited: list[Any] = []


def _wait(connection: Any, until: float) -> None:
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise LateError
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        poll.poll(max(1, left_s * 1000))
