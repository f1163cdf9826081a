"""Where events go: a sink takes a batch of envelopes and answers with a receipt.

A sink knows no CKAN and no database; what it needs comes as options.  Each
module here is a pure payload builder and one send, and has a function
``build(options)``: the sink from the options under ``ckanext.hdxjobs.<name>.``
(keys without that prefix, values typed as declared).

Another package adds a sink with an entry point of the group
``ckanext.hdxjobs.sinks`` that leads to such a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module, metadata
from typing import Any, Protocol, TypeVar, runtime_checkable

from ckanext.hdxjobs.analytics.events import Envelope

GROUP = "ckanext.hdxjobs.sinks"

# Loaded by name when a worker starts: no web request imports an HTTP client.
BUILT_IN = ("file", "ga4", "mixpanel", "webhook")

#: What is used when the site names no sink: a new portal sees its events at once.
DEFAULT = "file"

Options = Mapping[str, Any]

SettingsT = TypeVar("SettingsT")


class SinkError(Exception):
    """A sink cannot be made: it is unknown, or an option is missing or wrong.

    The text names options, never their values: it is logged.
    """


@dataclass(frozen=True)
class Receipt:
    """What became of a batch.

    An event that is neither delivered nor refused stays in the outbox.

    :ivar delivered: event ids that the service has; they may be deleted
    :ivar refused: event id -> why the service will never take it; a dead letter
    :ivar pause_s: rest the sink for at least so many seconds; 0.0 = as long as
        the backoff says; None = go on
    :ivar alarm: what an operator must mend (wrong credentials); nothing is dropped meanwhile
    :ivar error: short text about a fault; holds no secret and no URL
    """

    delivered: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    pause_s: float | None = None
    alarm: str | None = None
    error: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether the sink can be given the next batch at once."""
        return self.pause_s is None and self.alarm is None


def merged(receipts: Iterable[Receipt]) -> Receipt:
    """One receipt for a batch that went out in several requests."""
    delivered: set[str] = set()
    refused: dict[str, str] = {}
    pauses, alarms, errors = [], [], []
    for receipt in receipts:
        delivered |= receipt.delivered
        refused |= receipt.refused
        pauses += [receipt.pause_s] if receipt.pause_s is not None else []
        alarms += [receipt.alarm] if receipt.alarm else []
        errors += [receipt.error] if receipt.error else []
    return Receipt(
        delivered=frozenset(delivered),
        refused=refused,
        pause_s=max(pauses, default=None),
        alarm=next(iter(alarms), None),
        error=next(iter(errors), None),
    )


def required(options: Options, *keys: str) -> None:
    """Check that options are set.

    :raises SinkError: naming those that are not
    """
    missing = [key for key in keys if not options.get(key)]
    if missing:
        raise SinkError(f"not set: {', '.join(missing)}")


def settings(kind: type[SettingsT], options: Options) -> SettingsT:
    """A sink's settings (a dataclass) from its options; an empty option leaves the default."""
    names_known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in options.items() if key in names_known and value})


class Sink(Protocol):
    """A place that takes events.

    :ivar name: as in the settings, the outbox and the logs
    :ivar max_events: the largest batch that :meth:`send` is given
    """

    name: str
    max_events: int

    def refusal(self, envelope: Envelope) -> str | None:
        """Why this event can never be sent, or None when it can."""

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Send a batch; faults of the other side are told in the receipt, not raised."""

    def close(self) -> None:
        """Let go of connections and files."""


@runtime_checkable
class Checkable(Protocol):
    """A sink that can be tried out without leaving an event behind."""

    def check(self) -> Sequence[str]:
        """Send a sample to the service's validator; returns what it complains about."""


Build = Callable[[Options], Sink]


def names() -> tuple[str, ...]:
    """All sinks that can be named in the settings, in alphabetical order."""
    return tuple(sorted({*BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))}))


def build(name: str, options: Options) -> Sink:
    """Make a sink.

    :raises SinkError: when no sink has that name, or its options do not serve
    """
    if name in BUILT_IN:
        maker: Build = import_module(f"{__name__}.{name}").build
        return maker(options)
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == name:
            maker = entry.load()
            return maker(options)
    raise SinkError(f"there is no sink named {name!r}; there are: {', '.join(names())}")


class MemorySink:
    """Keeps what it is given: for tests, of this extension and of others.

    :ivar sent: every batch that :meth:`send` was given, the failed ones too
    :ivar faults: receipts that the next calls of :meth:`send` answer with
    """

    def __init__(self, name: str = "memory", *, max_events: int = 100) -> None:
        self.name = name
        self.max_events = max_events
        self.sent: list[tuple[Envelope, ...]] = []
        self.received: list[Envelope] = []
        self.faults: list[Receipt] = []
        self.refusals: dict[str, str] = {}
        self.closed = False

    def refusal(self, envelope: Envelope) -> str | None:
        """Refuses events whose name is a key of ``refusals``."""
        return self.refusals.get(envelope.name)

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Take the batch, or fail as ``faults`` says."""
        self.sent.append(tuple(batch))
        if self.faults:
            fault = self.faults.pop(0)
            self.received.extend(e for e in batch if e.event_id in fault.delivered)
            return fault
        self.received.extend(batch)
        return Receipt(delivered=frozenset(envelope.event_id for envelope in batch))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
