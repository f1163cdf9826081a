"""Google Analytics 4: the Measurement Protocol, ``/mp/collect``.

The service answers 204 whatever it is sent and says nothing of what it drops,
so all its documented rules are kept here, before sending:
https://developers.google.com/analytics/devguides/collection/protocol/ga4
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.sinks import Options, Receipt, SinkError, merged, required, settings
from ckanext.hdxjobs.analytics.sinks.ga4_names import event_name, parameters, problem
from ckanext.hdxjobs.analytics.sinks.http import Answer, Client, setback
from ckanext.hdxjobs.analytics.sinks.parts import SEND_BUDGET_S, Part, packed

HOST = "https://www.google-analytics.com"  # https://region1.google-analytics.com collects in the EU

MAX_REQUEST_EVENTS = 25
MAX_REQUEST_BYTES = 130_000
_FRAME_BYTES = 1_000  # what stands around the events

#: An older event is moved to 72 hours ago by the service.
MAX_AGE = timedelta(hours=72)
LATE_POLICIES = ("dead_letter", "send_late")

#: The ``client_id`` of events without a visitor: one client for the whole site.
NOBODY = "hdxjobs.site"

#: Nothing here is for advertising.
_CONSENT = {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}


@dataclass(frozen=True)
class Settings:
    """How to reach a web data stream.

    :ivar measurement_id: of the stream, ``G-…``
    :ivar api_secret: made for the stream under "Measurement Protocol API secrets"
    :ivar url: host to send to
    :ivar late: what becomes of events older than 72 hours, one of ``LATE_POLICIES``
    :ivar connections: requests at the same time; each holds events of one visitor only
    """

    measurement_id: str
    api_secret: str = field(repr=False)
    url: str = HOST
    late: str = "dead_letter"
    connections: int = 8
    timeout_s: float = 20.0


def build(options: Options) -> Ga4Sink:
    """Make the sink from the options ``ckanext.hdxjobs.ga4.*``."""
    required(options, "measurement_id", "api_secret")
    chosen = settings(Settings, options)
    if chosen.late not in LATE_POLICIES:
        raise SinkError(f"late must be one of: {', '.join(LATE_POLICIES)}")
    return Ga4Sink(chosen)


def event(envelope: Envelope) -> dict[str, Any]:
    """The event as it stands in the list ``events``."""
    return {
        "name": event_name(envelope.name),
        "timestamp_micros": round(envelope.occurred_at.timestamp() * 1_000_000),
        "params": parameters(envelope),
    }


def _part(envelope: Envelope) -> Part:
    text = json.dumps(event(envelope), ensure_ascii=False, separators=(",", ":"))
    return Part(envelope.event_id, text.encode("utf-8", "replace"))


@dataclass(frozen=True)
class Request:
    """One request: events of one client."""

    client_id: str
    parts: tuple[Part, ...]

    def body(self, **more: Any) -> bytes:
        """The JSON document."""
        head = json.dumps({"client_id": self.client_id, "consent": _CONSENT, **more}, separators=(",", ":"))
        return head[:-1].encode() + b',"events":[' + b",".join(part.body for part in self.parts) + b"]}"


def requests_of(batch: Sequence[Envelope]) -> Iterator[Request]:
    """The batch by client, at most 25 events and 130 kB a request."""
    clients: dict[str, list[Part]] = {}
    for envelope in batch:
        clients.setdefault(envelope.visitor_id or NOBODY, []).append(_part(envelope))
    for client_id, parts in clients.items():
        limit = MAX_REQUEST_BYTES - _FRAME_BYTES
        for group in packed(parts, max_parts=MAX_REQUEST_EVENTS, max_bytes=limit):
            yield Request(client_id, group)


class Ga4Sink:
    """Sends to one data stream; see :class:`Settings`.

    :param now: the time, for the rule of 72 hours
    """

    name = "ga4"
    # A kill between the answers and the outbox repeats at most so many events,
    # and the service recognises no duplicates.
    max_events = 200

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._now = now
        self._sends_late = settings.late == "send_late"
        query = urlencode({"measurement_id": settings.measurement_id, "api_secret": settings.api_secret})
        self._address = f"{settings.url.rstrip('/')}/{{path}}?{query}"
        self._timeout_s = settings.timeout_s
        self._client = self._connect("mp/collect", settings.connections)
        self._pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="ga4")

    def _connect(self, path: str, connections: int = 1) -> Client:
        return Client(self._address.format(path=path), timeout_s=self._timeout_s, connections=connections)

    def refusal(self, envelope: Envelope) -> str | None:
        """Against the documented rules, and by age as the policy says."""
        if not self._sends_late and self._now() - envelope.occurred_at > MAX_AGE:
            return "older than 72 hours: Google Analytics would date it wrongly"
        return problem(envelope)

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Send the batch over several connections; after a setback no further request is begun."""
        setback_met = threading.Event()
        until = time.monotonic() + SEND_BUDGET_S

        def send(request: Request) -> Receipt:
            if setback_met.is_set() or time.monotonic() > until:
                return Receipt()
            receipt = _receipt(request, self._post(self._client, request.body()))
            if not receipt.healthy:
                setback_met.set()
            return receipt

        return merged(self._pool.map(send, requests_of(batch)))

    @staticmethod
    def _post(client: Client, body: bytes) -> Answer:
        return client.post(body, {"Content-Type": "application/json"})

    def check(self) -> list[str]:
        """Ask the service's validator about a sample; it does not look at the secret."""
        sample = Envelope(
            event_id="00000000-0000-4000-8000-000000000000",
            name="configuration check",
            occurred_at=self._now(),
            visitor_id="hdxjobs.check",
            session_id="1",
            properties={"event source": "command line"},
        )
        (request,) = requests_of([sample])
        client = self._connect("debug/mp/collect")
        try:
            answer = self._post(client, request.body(validation_behavior="ENFORCE_RECOMMENDATIONS"))
        finally:
            client.close()
        return _complaints(answer)

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        self._client.close()


def _receipt(request: Request, answer: Answer) -> Receipt:
    if not answer.ok:
        return setback(answer)
    if answer.content_type.startswith("text/html"):
        # The service answers 204 without a body; a page is a proxy's or a portal's.
        return Receipt(pause_s=0.0, error=f"HTTP {answer.status}, but not Google's answer")
    return Receipt(delivered=frozenset(part.event_id for part in request.parts))


def _complaints(answer: Answer) -> list[str]:
    """What the validator says, or why it says nothing."""
    if not answer.ok:
        return [answer.fault or f"HTTP {answer.status}"]
    try:
        messages = json.loads(answer.body)["validationMessages"]
        return [f"{each.get('fieldPath', '')}: {each.get('description', '')}" for each in messages]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["the answer is not that of Google's validator"]
