"""Webhook: CloudEvents in batches to an address of the site's choice, signed.

Body: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
(JSON Batch Format).  Signature: https://www.standardwebhooks.com, so that a
receiver can verify it with a library instead of code of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.sinks import Options, Receipt, SinkError, required, settings
from ckanext.hdxjobs.analytics.sinks.http import Answer, Client, setback
from ckanext.hdxjobs.analytics.sinks.parts import Batch, Part, Parts, json_array, packed

CONTENT_TYPE = "application/cloudevents-batch+json; charset=UTF-8"
TYPE_PREFIX = "ckanext.hdxjobs."
SECRET_PREFIX = "whsec_"  # noqa: S105 - a mark, not a secret
MAX_REQUEST_BYTES = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Where to send.

    :ivar secret: key of the signature: text, or ``whsec_`` and base64; none = not signed
    :ivar source: the site's own address, which receivers see as the events' source
    """

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    source: str = "/"
    timeout_s: float = 20.0


def build(options: Options) -> WebhookSink:
    """Make the sink from the options ``ckanext.hdxjobs.webhook.*``."""
    required(options, "url")
    chosen = settings(Settings, options)
    if not chosen.url.startswith(("https://", "http://")):
        raise SinkError("url must start with https:// or http://")
    return WebhookSink(chosen)


def cloud_event(envelope: Envelope, *, source: str) -> dict[str, Any]:
    """The event in CloudEvents' JSON format; ``source`` and ``id`` together identify it."""
    return {
        "specversion": "1.0",
        "id": envelope.event_id,
        "source": source,
        "type": TYPE_PREFIX + envelope.name.replace(" ", "-"),
        "time": envelope.occurred_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "name": envelope.name,
            "visitor_id": envelope.visitor_id,
            "session_id": envelope.session_id,
            "properties": dict(envelope.properties),
        },
    }


def key_of(secret: str) -> bytes:
    """The signature's key.

    :raises SinkError: when what follows ``whsec_`` is not base64
    """
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise SinkError(f"secret: not base64 after {SECRET_PREFIX}") from None


def signature(key: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Base64 of the HMAC-SHA256 over ``id.timestamp.body``, with the version before it."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class WebhookSink:
    """Sends to one address; see :class:`Settings`.

    :param now: Unix time, for the signature's time stamp
    """

    name = "webhook"
    max_events = 500

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.time) -> None:
        self._source = settings.source
        self._key = key_of(settings.secret) if settings.secret else b""
        self._now = now
        self._client = Client(settings.url, timeout_s=settings.timeout_s)

    def refusal(self, envelope: Envelope) -> str | None:
        """CloudEvents asks for a name only."""
        return None if envelope.name else "the event has no name"

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Send the batch, in one request unless its bytes need more."""
        parts = (self._part(envelope) for envelope in batch)
        groups = packed(parts, max_parts=self.max_events, max_bytes=MAX_REQUEST_BYTES)
        return Batch(self._post, _receipt).send(groups)

    def _part(self, envelope: Envelope) -> Part:
        text = json.dumps(
            cloud_event(envelope, source=self._source), ensure_ascii=False, separators=(",", ":")
        )
        return Part(envelope.event_id, text.encode("utf-8", "replace"))

    def _post(self, parts: Parts) -> Answer:
        body = json_array(parts)
        # The same batch has the same id at each attempt, so that a receiver can know it again.
        message_id = (
            "batch_" + hashlib.sha256("".join(part.event_id for part in parts).encode()).hexdigest()[:32]
        )
        headers = {"Content-Type": CONTENT_TYPE, "webhook-id": message_id}
        if self._key:
            timestamp = int(self._now())
            headers["webhook-timestamp"] = str(timestamp)
            headers["webhook-signature"] = signature(
                self._key, message_id=message_id, timestamp=timestamp, body=body
            )
        return self._client.post(body, headers)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _receipt(parts: Parts, answer: Answer) -> Receipt:
    if not answer.ok:
        return setback(answer)
    return Receipt(delivered=frozenset(part.event_id for part in parts))
