"""Mixpanel: batches to ``/import`` with strict validation.

``/track`` is not used: it answers success for events older than five days and
drops them.  Rules and limits: https://developer.mixpanel.com/reference/import-events
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from ckanext.hdxjobs.analytics.events import JSON, Envelope
from ckanext.hdxjobs.analytics.sinks import Options, Receipt, SinkError, required, settings
from ckanext.hdxjobs.analytics.sinks.http import Answer, Client, setback
from ckanext.hdxjobs.analytics.sinks.parts import Batch, Part, Parts, json_array, packed

HOSTS = {
    "us": "https://api.mixpanel.com",
    "eu": "https://api-eu.mixpanel.com",
    "in": "https://api-in.mixpanel.com",
}

# Half of what the service takes, in events; its limit in bytes is 2 MB in old
# texts and 10 MB in new ones, before compression.
MAX_EVENTS = 1_000
MAX_REQUEST_BYTES = 1_500_000

MAX_EVENT_BYTES = 1_000_000
MAX_PROPERTIES = 254
MAX_ELEMENTS = 254
MAX_DEPTH = 3
_INSERT_ID = re.compile("[A-Za-z0-9-]{1,36}")
EARLIEST = datetime(1971, 1, 1, tzinfo=timezone.utc)

#: Taken for a mistake by the service, in any case of letters; nobody in particular is "".
PLACEHOLDERS = frozenset(
    {"00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na"}
    | {"undefined", "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"}
)

# Ours would be lost or would break the import if a property had such a name.
_OURS = frozenset({"time", "distinct_id", "$insert_id", "token"})

_COMPRESSION = 3  # level 6 takes three times as long for a tenth less


@dataclass(frozen=True)
class Settings:
    """How to reach a Mixpanel project.

    :ivar token: project token; enough when there is no service account
    :ivar username: of a service account, with ``password`` and ``project_id``
    :ivar region: where the project's data live, a key of ``HOSTS``
    :ivar url: another address to send to (a proxy, a test server), instead of the region's
    """

    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    project_id: str = ""
    region: str = "us"
    url: str = ""
    timeout_s: float = 20.0


def build(options: Options) -> MixpanelSink:
    """Make the sink from the options ``ckanext.hdxjobs.mixpanel.*``."""
    if options.get("username"):
        required(options, "password", "project_id")
    else:
        required(options, "token")
    chosen = settings(Settings, options)
    if chosen.region not in HOSTS:
        raise SinkError(f"region must be one of: {', '.join(HOSTS)}")
    return MixpanelSink(chosen)


def payload(envelope: Envelope) -> dict[str, Any]:
    """The event as ``/import`` takes it.

    The same for each attempt: event, time, distinct_id and $insert_id together
    are what the service recognises a duplicate by.
    """
    visitor = envelope.visitor_id
    properties: dict[str, Any] = {
        name: value for name, value in envelope.properties.items() if name not in _OURS
    }
    properties["time"] = round(envelope.occurred_at.timestamp() * 1000)
    properties["distinct_id"] = "" if visitor.lower() in PLACEHOLDERS else visitor
    properties["$insert_id"] = envelope.event_id
    return {"event": envelope.name, "properties": properties}


def problem(envelope: Envelope) -> str | None:
    """Why the service would refuse the event, or None.

    An event of the future is left to the service: it has the clock that decides.
    """
    return next(_problems(envelope), None)


def _problems(envelope: Envelope) -> Iterator[str]:
    event_id = envelope.event_id
    if not _INSERT_ID.fullmatch(event_id) or event_id.lower() in PLACEHOLDERS:
        yield "the event id cannot be an $insert_id"
    if not envelope.name:
        yield "the event has no name"
    if envelope.occurred_at < EARLIEST:
        yield "the event is dated before 1971"
    if len(envelope.properties) + len(_OURS) > MAX_PROPERTIES:
        yield f"more than {MAX_PROPERTIES - len(_OURS)} properties"
    for name, value in envelope.properties.items():
        if (fault := _fault(value, MAX_DEPTH)) is not None:
            yield f"{name}: {fault}"


def _fault(value: JSON, depth: int) -> str | None:
    """What is too much about a property's value; ``depth`` levels of nesting are left."""
    if not isinstance(value, (list, dict)):
        return None
    if depth == 0:
        return f"nested deeper than {MAX_DEPTH} levels"
    if len(value) > MAX_ELEMENTS:
        return f"more than {MAX_ELEMENTS} elements"
    inner = value.values() if isinstance(value, dict) else value
    return next((fault for each in inner if (fault := _fault(each, depth - 1)) is not None), None)


def _part(envelope: Envelope) -> Part:
    text = json.dumps(payload(envelope), ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate is no UTF-8, and one such title would cost the whole batch.
    return Part(envelope.event_id, text.encode("utf-8", "replace"))


class MixpanelSink:
    """Sends to one project; see :class:`Settings`."""

    name = "mixpanel"
    max_events = MAX_EVENTS

    def __init__(self, settings: Settings) -> None:
        query = {"strict": "1"}
        self._auth = (settings.token, "")
        if settings.username:
            query["project_id"] = settings.project_id
            self._auth = (settings.username, settings.password)
        host = (settings.url or HOSTS[settings.region]).rstrip("/")
        self._client = Client(f"{host}/import?{urlencode(query)}", timeout_s=settings.timeout_s)

    def refusal(self, envelope: Envelope) -> str | None:
        """Against the documented rules of the service."""
        if (fault := problem(envelope)) is not None:
            return fault
        return "larger than 1 MB" if len(_part(envelope).body) > MAX_EVENT_BYTES else None

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Send the batch, in one request unless its bytes need more."""
        groups = packed(map(_part, batch), max_parts=MAX_EVENTS, max_bytes=MAX_REQUEST_BYTES)
        return Batch(self._post, receipt).send(groups)

    def _post(self, parts: Parts) -> Answer:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        body = gzip.compress(json_array(parts), _COMPRESSION, mtime=0)
        return self._client.post(body, headers, auth=self._auth)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def receipt(parts: Parts, answer: Answer) -> Receipt:
    """What an answer says about the parts of its request."""
    said = _json_object(answer.body)
    if answer.ok and said.get("code") == 200:
        return Receipt(delivered=frozenset(part.event_id for part in parts))
    if answer.ok:
        # A proxy's or a portal's page, with status 200: nobody has imported anything.
        return Receipt(pause_s=0.0, error=f"HTTP {answer.status}, but not Mixpanel's answer")
    refused = _refused(parts, said) if answer.status == 400 else {}
    if refused:
        taken = frozenset(part.event_id for part in parts) - refused.keys()
        return Receipt(delivered=taken, refused=refused)
    return setback(answer)


def _refused(parts: Parts, said: Mapping[str, Any]) -> dict[str, str]:
    """The events named in ``failed_records``, with reasons; the service has taken all others."""
    reasons = {}
    records = said.get("failed_records")
    for record in records if isinstance(records, list) else []:
        index = record.get("index") if isinstance(record, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(parts):
            return {}  # Not what is documented: believe nothing of it.
        reasons[parts[index].event_id] = f"{record.get('field')}: {record.get('message')}"[:300]
    return reasons


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
