"""Mixpanel: developer.mixpanel.com/reference/import-events."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from devstack.fakes.service import SEPARATOR, Request, Response, Service, answer

TOKEN = "fake-mixpanel-token"


class Mixpanel(Service):
    """POST /import (strict or not) and, for the official library, POST /track."""

    paths = frozenset({"/import", "/track"})
    max_bytes = 2_097_152  # uncompressed, in the sample of the error; other pages say 10 MB
    max_events = 2_000
    _invalid_ids = frozenset(
        {"00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na"}
        | {"undefined", "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"}
    )

    def respond(self, request: Request) -> Response:
        if request.path == "/track":
            return self._track(request)
        if not self._authorised(request):
            return self._error(401, "invalid authentication credentials")
        try:
            body = request.plain_body()
            if len(body) > self.max_bytes:
                return self._error(413, f"request exceeds max limit of {self.max_bytes} bytes")
            events = self._events(request, body)
        except ValueError as exc:
            return self._error(400, str(exc))
        if len(events) > self.max_events:
            return self._error(413, f"request exceeds max limit of {self.max_events} events")
        return self._import(events, strict=request.query.get("strict") == "1")

    @staticmethod
    def _authorised(request: Request) -> bool:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        if scheme != "Basic":
            return False
        if "project_id" in request.query:
            return bool(name and password and request.query["project_id"])
        return name == TOKEN and password == ""

    @staticmethod
    def _events(request: Request, body: bytes) -> list[Any]:
        if request.headers.get("content-type", "").startswith("application/x-ndjson"):
            return [json.loads(line) for line in body.splitlines() if line.strip()]
        events = json.loads(body)
        if not isinstance(events, list) or not events:
            raise ValueError("the body is not a list of events")
        return events

    def _import(self, events: list[Any], *, strict: bool) -> Response:
        failed = []
        for index, event in enumerate(events):
            fault = next(self.faults(event), None)
            if fault is None:
                self._take(event)
                continue
            self.dropped[f"{fault[0]}: {fault[1]}"] += 1
            insert_id = event.get("properties", {}).get("$insert_id") if isinstance(event, dict) else None
            failed.append({"index": index, "insert_id": insert_id, "field": fault[0], "message": fault[1]})
        taken = len(events) - len(failed)
        if failed and strict:
            return self.partial(taken, failed)
        return answer(200, {"code": 200, "num_records_imported": taken, "status": "OK"})

    @staticmethod
    def partial(taken: int, failed: list[dict[str, Any]]) -> Response:
        """The answer when some events did not pass."""
        return answer(
            400,
            {
                "code": 400,
                "error": "some data points in the request failed validation",
                "failed_records": failed,
                "num_records_imported": taken,
                "status": "Bad Request",
            },
        )

    def _take(self, event: dict[str, Any]) -> None:
        properties = event["properties"]
        key = (event["event"], properties["time"], properties["distinct_id"], properties["$insert_id"])
        self.take(SEPARATOR.join(map(str, key)), event["event"], event)

    def faults(self, event: Any) -> Iterator[tuple[str, str]]:
        """What validation says of an event: field and message."""
        if not isinstance(event, dict) or not isinstance(event.get("properties"), dict):
            yield "event", "must be an object with properties"
            return
        if not isinstance(event.get("event"), str) or not event["event"]:
            yield "event", "'event' is required"
        if len(json.dumps(event, ensure_ascii=False).encode()) >= 1_048_576:
            yield "event", "event too large"
        properties = event["properties"]
        yield from self._id_faults(properties)
        yield from self._time_faults(properties.get("time"))
        if len(properties) >= 255:
            yield "properties", "too many properties"
        for name, value in properties.items():
            if not self._shallow(value, 3):
                yield f"properties.{name}", "nested too deeply or too many elements"

    def _id_faults(self, properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
        insert_id = properties.get("$insert_id")
        if not isinstance(insert_id, str) or not re.fullmatch("[A-Za-z0-9-]{1,36}", insert_id):
            yield "properties.$insert_id", "must be at most 36 letters, digits or -"
        elif insert_id.lower() in self._invalid_ids:
            yield "properties.$insert_id", "is not a valid id"
        distinct_id = properties.get("distinct_id")
        if not isinstance(distinct_id, str):
            yield "properties.distinct_id", "is required"
        elif distinct_id.lower() in self._invalid_ids:
            yield "properties.distinct_id", "is not a valid id"

    @staticmethod
    def _time_faults(value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield "properties.time", "must be specified as seconds since epoch"
            return
        # Seconds and milliseconds are told apart by their size.
        seconds = value / 1000 if value > 100_000_000_000 else value
        if seconds < 31_536_000 or seconds > time.time() + 3600:
            yield "properties.time", "is before 1971 or in the future"

    def _shallow(self, value: Any, depth: int) -> bool:
        if not isinstance(value, (list, dict)):
            return True
        if depth == 0 or len(value) >= 255:
            return False
        inner = value.values() if isinstance(value, dict) else value
        return all(self._shallow(each, depth - 1) for each in inner)

    @staticmethod
    def _error(status: int, message: str) -> Response:
        return answer(status, {"code": status, "error": message, "status": "error"})

    def _track(self, request: Request) -> Response:
        """The library's way: a form with one event; what is older than five days is dropped, with success."""
        try:
            sent = json.loads(parse_qs(request.body.decode())["data"][0])
        except (ValueError, KeyError):
            return answer(200, {"error": "data, missing or empty", "status": 0})
        for event in sent if isinstance(sent, list) else [sent]:
            if event["properties"].get("time", 0) < time.time() - 5 * 86_400:
                self.dropped["older than five days"] += 1
            else:
                self._take(event)
        return answer(200, {"error": None, "status": 1})
