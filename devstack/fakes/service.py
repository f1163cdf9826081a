"""What the fake services share."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHOWN = 200
SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Request:
    """A request; header names in small letters."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def plain_body(self) -> bytes:
        """The body without its compression.

        :raises ValueError: when it is not what its header says
        """
        if self.headers.get("content-encoding") != "gzip":
            return self.body
        try:
            return gzip.decompress(self.body)
        except (OSError, EOFError, zlib.error) as exc:
            raise ValueError("not gzip") from exc


@dataclass(frozen=True)
class Response:
    """An answer; ``body`` is JSON unless it says otherwise."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(status: int, said: Any = None) -> Response:
    """A JSON answer, or one without a body."""
    return Response(status, b"" if said is None else json.dumps(said).encode())


class Service:
    """What the services share: they count what arrives.

    :ivar seen: key of an event -> how often it came; the key's last part is the event's id
    :ivar shown: events by name as reports show them, without those known to be duplicates
    :ivar dropped: why events were not taken -> how many
    :ivar last: the latest events as they were sent
    """

    paths: frozenset[str] = frozenset()
    deduplicates = True

    def __init__(self) -> None:
        self.requests = 0
        self.seen: dict[str, int] = {}
        self.shown: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.last: deque[Any] = deque(maxlen=SHOWN)

    def take(self, key: str, name: str, event: Any) -> None:
        """Store an event."""
        times = self.seen.get(key, 0) + 1
        self.seen[key] = times
        if times == 1 or not self.deduplicates:
            self.shown[name] += 1
        self.last.append(event)

    def stats(self) -> dict[str, Any]:
        """How many of which events are there."""
        return {
            "events": dict(sorted(self.shown.items())),
            "unique": len(self.seen),
            "duplicates": sum(self.seen.values()) - len(self.seen),
            "requests": self.requests,
        }

    def ids(self) -> dict[str, int]:
        """Event id -> how often it came."""
        return {key.rpartition(SEPARATOR)[2]: times for key, times in self.seen.items()}

    def respond(self, request: Request) -> Response:
        """Answer a request to one of the paths."""
        raise NotImplementedError
