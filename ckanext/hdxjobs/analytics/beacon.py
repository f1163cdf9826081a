"""What browsers report: checked as if anybody could have sent it, for anybody can.

A beacon comes from ``navigator.sendBeacon``, which can set no header; and a page may be older than its
CSRF token, or come from a cache.  So forged requests are told by where they come from (Sec-Fetch-Site or
Origin, which no page can change) and by their content type, which no page of another site may send
without asking first.  Nothing is done on behalf of the visitor, and names are looked up by id.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ckanext.hdxjobs.analytics import capture, privacy, traffic, visits
from ckanext.hdxjobs.analytics.events import Event, MalformedError, storable
from ckanext.hdxjobs.config import AnalyticsSettings

#: What one beacon may hold.
MAX_BYTES = 16_384
MAX_EVENTS = 20

#: Visitors whose pace is remembered; the one heard of longest ago is forgotten first.
MAX_VISITORS = 10_000


class Pace:
    """How many events a visitor may still report: a bucket that fills by the minute.

    Of this process: with several, each allows as much.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, visitor: str, events: int, *, a_minute: int) -> bool:
        """Whether so many events more are within the limit; if so they are counted."""
        now = time.monotonic()
        with self._lock:
            left, then = self._left.pop(visitor, (float(a_minute), now))
            left = min(float(a_minute), left + (now - then) * a_minute / 60)
            allowed = left >= events
            self._left[visitor] = (left - events if allowed else left, now)
            while len(self._left) > MAX_VISITORS:
                self._left.popitem(last=False)
        return allowed


pace = Pace()


def receive(request: Any) -> tuple[int, str]:
    """Take a beacon; the HTTP status and, where it was refused, why."""
    wanted = traffic.settings()
    refusal = _refusal(request, wanted)
    if refusal:
        return refusal
    try:
        page, events = parsed(request.get_data(cache=False))
    except MalformedError as error:
        return 400, str(error)
    visit = traffic.current(wanted)
    if visit is not None and visit is not traffic.NOT_TRACKED:
        visitor = f"{visit.address} {visit.agent}"
        if not pace.allows(visitor, len(events), a_minute=wanted.browser_events_a_minute):
            return 429, "Too many events"
        own = privacy.origin(page["url"]).partition("://")[2] == request.host
        url = page["url"] if own else ""
        told = replace(visit, url=url, referer=page["referrer"], source="web", server_side=False)
        traffic.track(events, told, crawlers_too=False)
    return 204, ""


def _refusal(request: Any, wanted: AnalyticsSettings) -> tuple[int, str] | None:
    """What can be said before the body is read."""
    if not wanted.enabled or not wanted.browser_events:
        return 404, "Browser events are switched off"
    if not visits.is_same_site(request.headers, site=request.host):
        return 403, "Only this site's own pages may report events"
    if request.mimetype != "application/json":
        return 415, "Send JSON"
    if request.content_length is None or request.content_length > MAX_BYTES:
        return 413, f"A report may have {MAX_BYTES} bytes"
    return None


def parsed(body: bytes) -> tuple[dict[str, str], list[Event]]:
    """The page and the events of a beacon.

    :raises MalformedError: it is not what our script sends
    """
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("this is not JSON") from None
    if not isinstance(report, dict) or set(report) - {"page", "events"}:
        raise MalformedError("a report has a page and events")
    page, events = report.get("page"), report.get("events")
    if not isinstance(page, dict) or not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
        raise MalformedError(f"a report has a page and 1 to {MAX_EVENTS} events")
    kinds = capture.kinds()
    return _page(page), [_event(one, kinds) for one in events]


def _page(page: Mapping[str, Any]) -> dict[str, str]:
    told = {name: page.get(name, "") for name in ("url", "referrer")}
    if not all(isinstance(value, str) and len(value) <= 4000 for value in told.values()):
        raise MalformedError("a page has a url and a referrer")
    return {name: storable(value) for name, value in told.items()}


def _event(one: Any, kinds: Mapping[str, type[Event]]) -> Event:
    if not isinstance(one, dict) or not isinstance(one.get("properties", {}), dict):
        raise MalformedError("an event has a name and properties")
    name = one.get("name")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None or not kind.from_browser:
        raise MalformedError("browsers report no event of that name")
    sent = one.get("properties", {})
    if {"authenticated", "event source"} & set(sent):
        raise MalformedError(f"{kind.name}: the server knows that better")
    return kind.from_properties(sent)
