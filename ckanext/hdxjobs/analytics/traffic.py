"""Requests become events: downloads, calls of the API, and what code tracked while a request ran.

A request only pays for copying a few of its headers; the rest is done when its response has been sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flask
from ckan import model, plugins
from ckan.plugins import toolkit as tk
from werkzeug.wsgi import ClosingIterator

from ckanext.hdxjobs import config
from ckanext.hdxjobs.analytics import capture, catalogue, consent, privacy, visits
from ckanext.hdxjobs.analytics.events import Event
from ckanext.hdxjobs.analytics.visits import Visit
from ckanext.hdxjobs.config import AnalyticsSettings
from ckanext.hdxjobs.interfaces import IHdxJobsAnalytics

#: A visit that must leave no trace.
NOT_TRACKED = Visit("", "", "", "", "", False, "", 0.0)

#: Rules of URLs that hand out a resource's file, CKAN's own and those of storage plugins alike.
_DOWNLOAD = re.compile(r"/resource/<(?:\w+:)?resource_id>/download")

#: A first range, or all of the file: later ranges belong to a download that was counted.
_FROM_THE_START = re.compile(r"^bytes=0-")

_PENDING = "hdxjobs_events"
_BEGAN = "hdxjobs_began"

#: Actions that are no use of the site's data.
_OWN_ACTIONS = frozenset({"hdx_event_track", "status_show"})


@dataclass(frozen=True)
class Pending:
    """Events that wait for the response."""

    events: Sequence[Event]
    visit: Visit
    crawlers_too: bool


def settings() -> AnalyticsSettings:
    """The settings, once a request."""
    if not flask.has_app_context():
        return config.analytics_settings()
    kept: AnalyticsSettings | None = flask.g.get("hdxjobs_analytics")
    if kept is None:
        kept = flask.g.hdxjobs_analytics = config.analytics_settings()
    return kept


def begin(_app: Any = None, **_: Any) -> None:
    """A request begins: remember when, for the events' dates."""
    flask.g.hdxjobs_began = time.monotonic()


def current(wanted: AnalyticsSettings) -> Visit | None:
    """The visit that is going on; None outside of a request; NOT_TRACKED when it must leave no trace."""
    if not wanted.enabled:
        return NOT_TRACKED
    if not flask.has_request_context():
        return None
    request = flask.request
    if not consent.given(request, wanted.consent):
        return NOT_TRACKED
    address = request.headers.get(wanted.ip_header) if wanted.ip_header else None
    headers = request.headers
    return Visit(
        address=address or request.remote_addr or "",
        agent=headers.get("User-Agent", ""),
        url=request.base_url,
        referer=headers.get("Referer", ""),
        source=visits.source_of(request.path, headers, site=request.host),
        authenticated=bool(getattr(tk.current_user, "is_authenticated", False)),
        site=wanted.site,
        began=flask.g.get(_BEGAN, time.monotonic()),
    )


def track(events: Sequence[Event], visit: Visit | None = None, *, crawlers_too: bool = True) -> bool:
    """Track events that no save carries: after the response if there is a request, else at once.

    :param crawlers_too: whether it counts as well when a crawler or a prefetching browser did it
    :returns: whether they may be tracked
    """
    wanted = settings()
    visit = visit or current(wanted)
    if visit is NOT_TRACKED:
        return False
    if visit is None:
        capture.store(events, None, wanted)
    elif crawlers_too or not privacy.is_prefetch(flask.request.headers):
        flask.g.setdefault(_PENDING, []).append(Pending(events, visit, crawlers_too))
    return True


def finish(_app: Any = None, *, response: Any, **_: Any) -> None:
    """A response is about to be sent: what follows it?  Never raises."""
    try:
        own = _own_event(response)
        if own is not None:
            track([own], crawlers_too=False)
        pending = flask.g.pop(_PENDING, None)
        if pending:
            wanted = settings()
            _after(response, lambda: _store(pending, wanted))
    except Exception as error:
        capture.complain("The events of a request were lost (%s)", type(error).__name__)


def _after(response: Any, work: Callable[[], None]) -> None:
    """Do something when a response has been sent."""
    if not response.direct_passthrough:
        response.call_on_close(work)
        return
    # A file that the server sends by itself: Werkzeug does not hear of its end, but the file is closed.
    sent = response.response
    close = getattr(sent, "close", None)

    def close_and_work() -> None:
        sent.close = close or _nothing
        try:
            if close is not None:
                close()
        finally:
            work()

    try:
        sent.close = close_and_work
    except AttributeError:
        # A server's own kind of file, which takes no attributes.
        response.response = ClosingIterator(sent, [work])


def _nothing() -> None:
    """What a file without an end of its own does at its end."""


def _store(pending: Sequence[Pending], wanted: AnalyticsSettings) -> None:
    """What follows a response.  Never raises: the server would take it for a broken connection."""
    try:
        for one in pending:
            # Here and not in the request: the list of crawlers is long.
            if one.crawlers_too or not _is_crawler(one.visit, wanted):
                capture.store(one.events, one.visit, wanted)
        if any(plugins.PluginImplementations(IHdxJobsAnalytics)):
            # The request's own session is gone by now; one that an extension opened must not linger.
            model.Session.remove()
    except Exception as error:
        capture.complain("The events of a request were lost (%s)", type(error).__name__)


def _is_crawler(visit: Visit, wanted: AnalyticsSettings) -> bool:
    return privacy.is_crawler(visit.agent, wanted.programs, wanted.agents_ignored)


def _own_event(response: Any) -> Event | None:
    request = flask.request
    if request.url_rule is None or response.status_code >= 400:
        return None
    if request.endpoint == "api.action":
        return _api_call()
    if request.method == "GET" and _DOWNLOAD.search(request.url_rule.rule):
        return _download(response)
    return None


def _api_call() -> Event | None:
    request = flask.request
    name = (request.view_args or {}).get("logic_function")
    if (
        not settings().api_calls
        or name in _OWN_ACTIONS
        or visits.is_same_site(request.headers, site=request.host)
    ):
        return None
    return catalogue.ApiCall(action_name=name)


def _download(response: Any) -> Event | None:
    request = flask.request
    if response.status_code not in (200, 206, 301, 302, 303, 307, 308):
        return None
    if response.status_code == 206 and not _FROM_THE_START.match(request.headers.get("Range", "")):
        return None
    return catalogue.ResourceDownload(resource_id=(request.view_args or {}).get("resource_id"))
