"""A batch as parts that are put together to requests, none larger than a service takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ckanext.hdxjobs.analytics.sinks import Receipt, merged
from ckanext.hdxjobs.analytics.sinks.http import Answer, setback

#: Whoever calls less than this too large is misconfigured: no event's fault.
SMALL_BYTES = 32_768


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


def send_halving(
    parts: Parts, post: Callable[[Parts], Answer], judge: Callable[[Parts, Answer], Receipt]
) -> Receipt:
    """Send the parts in one request; as long as the service calls it too large (413), in halves.

    :param judge: makes the receipt from any other answer
    """
    answer = post(parts)
    if answer.status != 413:
        return judge(parts, answer)
    if len(parts) == 1:
        (part,) = parts
        if len(part.body) < SMALL_BYTES:
            return setback(answer)
        return Receipt(refused={part.event_id: "larger than the service takes (HTTP 413)"})
    middle = len(parts) // 2
    return send_all((parts[:middle], parts[middle:]), lambda half: send_halving(half, post, judge))


def send_all(groups: Iterable[Parts], send: Callable[[Parts], Receipt]) -> Receipt:
    """Send group after group until one meets trouble; the rest stays in the outbox."""
    receipts = []
    for group in groups:
        receipts.append(send(group))
        if not receipts[-1].healthy:
            break
    return merged(receipts)
