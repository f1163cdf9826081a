"""The outbox: table ``hdxjobs_event`` in CKAN's database, a row for each event and sink, until it is sent.

Two ways in: with the statement of a save (same transaction), or on a wire with a deadline.  One way
out: a drain claims rows under a lease, sends them with no transaction open, then settles.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from ckanext.hdxjobs.analytics.events import JSON, Envelope
from ckanext.hdxjobs.analytics.sql import query

#: Attempts at an event that makes its sink stumble, before it is a dead letter.
MOST_ATTEMPTS = 5

#: Seconds that a drain holds a batch: more than any sink may take for it.
LEASE_S = 120


@dataclass(frozen=True)
class Parcel:
    """An envelope on its way into the outbox.

    :ivar sinks: who gets it
    :ivar age_s: seconds since it happened; the database subtracts them from its own clock
    :ivar occurred_at: when it happened, where the database was not asked at once; else None
    """

    event_id: str
    name: str
    visitor_id: str
    session_id: str
    properties: Mapping[str, JSON]
    sinks: tuple[str, ...]
    age_s: float = 0.0
    occurred_at: str | None = None

    def stamped(self, now_s: float) -> Parcel:
        """The same with its own date, for the way by queue or spool.

        :param now_s: seconds since 1970, as the database would say
        """
        moment = datetime.fromtimestamp(now_s - self.age_s, tz=timezone.utc)
        return Parcel(**{**vars(self), "occurred_at": moment.isoformat(), "age_s": 0.0})


def dumped(parcels: Iterable[Parcel]) -> str:
    """Parcels as text: a JSON list."""
    return json.dumps([vars(parcel) for parcel in parcels], ensure_ascii=False, separators=(",", ":"))


def loaded(text: str) -> list[Parcel]:
    """What :func:`dumped` wrote."""
    return [Parcel(**{**fields, "sinks": tuple(fields["sinks"])}) for fields in json.loads(text)]


def put_parameters(parcels: Iterable[Parcel]) -> dict[str, str]:
    """What the query "put" needs."""
    return {"events": dumped(parcels)}


@dataclass(frozen=True)
class Claimed:
    """A batch that one drain holds.

    :ivar lease: names the claim
    """

    lease: str
    envelopes: tuple[Envelope, ...]


class Outbox:
    """The way out, for drains and for people; a connection of its own.

    Not for web requests: it may wait as long as the server takes.  One thread at a time.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def put(self, parcels: Sequence[Parcel]) -> int:
        """Store parcels; the number of rows that were not there yet."""
        return len(self.rows("put", **put_parameters(parcels)))

    def claim(self, sink: str, *, limit: int, lease_s: float = LEASE_S) -> Claimed:
        """Take the next events of a sink."""
        lease = str(uuid.uuid4())
        found = self.rows("claim", sink=sink, limit=limit, lease=lease, lease_s=lease_s)
        found.sort(key=lambda row: row["id"])
        return Claimed(lease, tuple(envelope(row) for row in found))

    def settle(
        self, sink: str, claimed: Claimed, *, delivered: Iterable[str], refused: Mapping[str, str]
    ) -> int:
        """Delete what was delivered, bury what was refused, give the rest back; how many are done."""
        delivered = list(delivered)
        done = {*delivered, *refused}
        rest = [envelope.event_id for envelope in claimed.envelopes if envelope.event_id not in done]
        with self._transaction() as cursor:
            counts = _counted(cursor, "delivered", sink=sink, event_ids=delivered) if delivered else Counter()
            buried: Counter[str] = Counter()
            if refused:
                buried = _counted(
                    cursor, "refused", sink=sink, event_ids=list(refused), reasons=list(refused.values())
                )
            names = sorted({*counts, *buried})
            if names:
                cursor.execute(
                    query("tally"),
                    {
                        "sink": sink,
                        "names": names,
                        "delivered": [counts[name] for name in names],
                        "refused": [buried[name] for name in names],
                    },
                )
            if rest:
                cursor.execute(query("release"), {"lease": claimed.lease, "event_ids": rest})
        return counts.total() + buried.total()

    def postpone(self, claimed: Claimed, event_id: str, *, reason: str) -> None:
        """Put off one event that its sink cannot stand."""
        self.change("postpone", lease=claimed.lease, event_id=event_id, reason=reason, most=MOST_ATTEMPTS)

    def search(
        self,
        *,
        sink: str | None = None,
        name: str | None = None,
        dead: bool | None = None,
        after: int = 0,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Rows by their ids; ``dead``: only dead letters, only waiting ones, or both."""
        return self.rows("search", sink=sink, name=name, dead=dead, after=after, limit=limit)

    def each(self, *, page: int = 1000, **wanted: Any) -> Iterator[dict[str, Any]]:
        """All rows that :meth:`search` would find, a page in memory at a time."""
        after = 0
        while rows := self.search(after=after, limit=page, **wanted):
            yield from rows
            after = rows[-1]["id"]

    def rows(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a named query."""
        with self._transaction() as cursor:
            cursor.execute(query(name), parameters)
            return [dict(row) for row in cursor.fetchall()]

    def change(self, name: str, /, **parameters: Any) -> int:
        """Run a named query; the number of rows it changed."""
        with self._transaction() as cursor:
            cursor.execute(query(name), parameters)
            return int(cursor.rowcount)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        if self._connection is None or self._connection.closed:
            # A row that comes back after a crash of the server is sent twice at worst.
            self._connection = psycopg2.connect(
                self._dsn,
                connect_timeout=5,
                application_name="hdxjobs delivery",
                options="-c synchronous_commit=off -c statement_timeout=60000",
            )
        with self._connection, self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            yield cursor


def envelope(row: Mapping[str, Any]) -> Envelope:
    """A row as what is sent."""
    return Envelope(
        event_id=row["event_id"],
        name=row["name"],
        occurred_at=row["occurred_at"].astimezone(timezone.utc),
        visitor_id=row["visitor_id"],
        session_id=row["session_id"],
        properties=row["properties"],
    )


def _counted(cursor: Any, name: str, /, **parameters: Any) -> Counter[str]:
    cursor.execute(query(name), parameters)
    return Counter(row["name"] for row in cursor.fetchall())
