"""A batch as parts that are put together to requests, none larger than a service takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ckanext.hdxjobs.analytics.sinks import Receipt, merged
from ckanext.hdxjobs.analytics.sinks.http import Answer, setback

#: Whoever calls less than this too large is misconfigured: no event's fault.
SMALL_BYTES = 32_768

#: No further request of a batch is begun after so many seconds: a batch must be
#: done before its lease ends (two minutes), or another drain sends it as well.
SEND_BUDGET_S = 45.0


@dataclass(frozen=True)
class Part:
    """An event as a request holds it.

    :ivar body: JSON, UTF-8
    """

    event_id: str
    body: bytes


Parts = Sequence[Part]


def json_array(parts: Parts) -> bytes:
    """The parts as one JSON array."""
    return b"[" + b",".join(part.body for part in parts) + b"]"


def packed(parts: Iterable[Part], *, max_parts: int, max_bytes: int) -> Iterator[tuple[Part, ...]]:
    """Groups of neighbours, each within both limits; ``max_bytes`` counts a comma for each part.

    A part above ``max_bytes`` makes a group of its own.
    """
    group: list[Part] = []
    size = 0
    for part in parts:
        length = len(part.body) + 1
        if group and (len(group) == max_parts or size + length > max_bytes):
            yield tuple(group)
            group, size = [], 0
        group.append(part)
        size += length
    if group:
        yield tuple(group)


@dataclass(frozen=True)
class Batch:
    """A batch on its way, in as many requests as it needs, until one meets trouble or time is up.

    What was not tried is in no receipt and stays in the outbox.

    :ivar post: sends parts in one request
    :ivar judge: makes the receipt from any answer but 413
    :ivar until: monotonic seconds after which no request is begun
    """

    post: Callable[[Parts], Answer]
    judge: Callable[[Parts, Answer], Receipt]
    until: float = field(default_factory=lambda: time.monotonic() + SEND_BUDGET_S)

    def send(self, groups: Iterable[Parts]) -> Receipt:
        """Send group after group."""
        receipts = []
        for group in groups:
            if time.monotonic() > self.until:
                break
            receipts.append(self._send(group))
            if not receipts[-1].healthy:
                break
        return merged(receipts)

    def _send(self, parts: Parts) -> Receipt:
        """Send the parts in one request; as long as the service calls it too large (413), in halves."""
        answer = self.post(parts)
        if answer.status != 413:
            return self.judge(parts, answer)
        if len(parts) == 1:
            (part,) = parts
            if len(part.body) < SMALL_BYTES:
                return setback(answer)
            return Receipt(refused={part.event_id: "larger than the service takes (HTTP 413)"})
        middle = len(parts) // 2
        return self.send((parts[:middle], parts[middle:]))
