"""Events become rows of the outbox: the only way in.

In a save they join its transaction (``join``); else they are stored after the response (``store``): in the
database within a deadline, or else as a job on Redis, or else in a file.  Nothing here raises into a
request.  Loss needs all three to fail at once.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import psycopg2
import rq
from ckan import plugins

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.analytics import catalogue, privacy, spool
from ckanext.hdxjobs.analytics.events import JSON, Event
from ckanext.hdxjobs.analytics.facts import UNKNOWN, Ask, Facts, find, told
from ckanext.hdxjobs.analytics.outbox import Parcel, dumped, put_parameters
from ckanext.hdxjobs.analytics.salts import Salts
from ckanext.hdxjobs.analytics.sql import query
from ckanext.hdxjobs.analytics.visits import Visit
from ckanext.hdxjobs.analytics.wire import LateError, Wire
from ckanext.hdxjobs.config import AnalyticsSettings
from ckanext.hdxjobs.interfaces import IHdxJobsAnalytics

log = logging.getLogger(__name__)

#: Seconds that one bell stands for all events of its sink.
RING_ONCE_S = 60
#: Seconds that a delivery job may take by RQ's clock.
JOB_TIMEOUT_S = 180
#: Seconds without a try after the database failed.
BREAK_S = 5
#: Seconds of difference between the clocks of this machine and of the database that are worth a word.
DRIFT_S = 2.0

_FAULTS = (LateError, psycopg2.Error, OSError)


class Line:
    """The process's wire to the outbox, its breaker, and what it learned about the clock."""

    def __init__(self, dsn: str, deadline_s: float) -> None:
        self.wire = Wire(dsn, deadline_s=deadline_s)
        self.salts = Salts()
        self.drift_s = 0.0
        self._open_until = 0.0

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        """Rows, or a fault at once while the database is known to fail."""
        if time.monotonic() < self._open_until:
            raise LateError
        try:
            return self.wire.run(sql, parameters)
        except psycopg2.DataError:
            # The values' fault: the database is well.
            raise
        except _FAULTS:
            self._open_until = time.monotonic() + BREAK_S
            raise

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Store parcels; compare the clocks while at it."""
        rows = self.ask(query("put"), put_parameters(parcels))
        if rows:
            self.drift_s = time.time() - float(rows[0][0])
            if abs(self.drift_s) > DRIFT_S:
                complain("This machine's clock and the database's are %.1f s apart", self.drift_s)


@cache
def line(dsn: str, deadline_s: float) -> Line:
    """The line of this process."""
    return Line(dsn, deadline_s)


def kinds() -> dict[str, type[Event]]:
    """The catalogue and what other extensions add to it, by name."""
    found = dict(catalogue.EVENTS)
    for plugin in plugins.PluginImplementations(IHdxJobsAnalytics):
        try:
            found |= {kind.name: kind for kind in plugin.analytics_events()}
        except Exception as error:
            complain("Plugin %s failed to name its events (%s)", plugin.name, type(error).__name__)
    return found


def store(events: Sequence[Event], visit: Visit | None, settings: AnalyticsSettings) -> None:
    """Store events now, and ring; never raises."""
    try:
        own = line(settings.dsn, settings.deadline_s)
        parcels = pack(events, visit, settings, ask=own.ask, visitor=_visitor(visit, own))
        if parcels and _put(parcels, own, settings):
            ring({sink for parcel in parcels for sink in parcel.sinks})
    except Exception as error:
        complain("%s events were lost: %s", len(events), describe(error))


def join(events: Sequence[Event], visit: Visit | None, settings: AnalyticsSettings, ask: Ask) -> set[str]:
    """Store events with a save, by its own connection; the sinks to ring for after the commit."""
    # The salt comes by our own wire: in the save's transaction its row would be locked until the commit.
    visitor = _visitor(visit, line(settings.dsn, settings.deadline_s))
    parcels = pack(events, visit, settings, ask=ask, visitor=visitor)
    if parcels:
        ask(query("put"), put_parameters(parcels))
    return {sink for parcel in parcels for sink in parcel.sinks}


def pack(
    events: Sequence[Event], visit: Visit | None, settings: AnalyticsSettings, *, ask: Ask, visitor: str
) -> list[Parcel]:
    """Events with all that may be known of them, and nothing that may not.

    :param ask: runs a statement; what it raises on a save's connection is passed on
    """
    parcels = []
    for event in events:
        facts = _facts(event, ask)
        claimed = visit is not None and not visit.server_side
        properties = _properties(told(event, facts, claimed=claimed), facts, visit, settings)
        sinks = tuple(sink for sink in settings.sinks if wants(settings.filters[sink], event.name))
        if properties is None or not sinks:
            continue
        parcels.append(
            Parcel(
                event_id=str(uuid.uuid4()),
                name=event.name,
                visitor_id=visitor,
                session_id=privacy.session_id(visitor),
                properties=properties,
                sinks=sinks,
                age_s=visit.age_s if visit else 0.0,
            )
        )
    return parcels


def wants(patterns: Sequence[str], name: str) -> bool:
    """Whether a sink's filter lets an event through: of the patterns that fit, the last decides."""
    slug = name.replace(" ", "_")
    fits = [pattern for pattern in patterns if fnmatch.fnmatchcase(slug, pattern.removeprefix("!"))]
    if not fits:
        return all(pattern.startswith("!") for pattern in patterns)
    return not fits[-1].startswith("!")


def ring(sinks: set[str]) -> None:
    """There is something to deliver: one job a sink, however many events."""
    if sinks:
        queues.ring_once([bell(sink) for sink in sorted(sinks)], seconds=RING_ONCE_S)


def bell(sink: str) -> queues.Bell:
    """The doorbell of one sink."""
    return queues.Bell(
        queue=queues.ANALYTICS,
        job="ckanext.hdxjobs.analytics.job.deliver_events",
        args=(sink,),
        key=bell_key(sink),
        title=f"Deliver events to {sink}",
        timeout_s=JOB_TIMEOUT_S,
    )


def bell_key(sink: str) -> str:
    """What names a sink in a job's id."""
    return "events-" + re.sub(r"[^A-Za-z0-9_-]", "_", sink)


def complain(message: str, *arguments: object) -> None:
    """A line in the log, of its kind the only one for a minute."""
    now = time.monotonic()
    if now - _complained.get(message, -60.0) >= 60:
        _complained[message] = now
        log.warning(message, *arguments)


_complained: dict[str, float] = {}


def describe(error: Exception) -> str:
    """An error for the log: what it is and, where that is safe, what the database said."""
    if isinstance(error, psycopg2.errors.UndefinedTable):
        return "the outbox does not exist yet; run: ckan db upgrade -p hdxjobs"
    return type(error).__name__


def _put(parcels: Sequence[Parcel], own: Line, settings: AnalyticsSettings) -> bool:
    """Store parcels wherever they are taken; whether that was the outbox."""
    try:
        own.put(parcels)
        return True
    except psycopg2.DataError:
        # It would take them no more from Redis or the spool.
        raise
    except _FAULTS as error:
        complain("The outbox did not take events in time (%s); they go by Redis", describe(error))
    stamped = [parcel.stamped(time.time() - own.drift_s) for parcel in parcels]
    if not queues.ring(_store_bell(stamped)):
        spool.write(settings.spool_folder, stamped, max_bytes=settings.spool_max_bytes)
    return False


def _store_bell(parcels: Sequence[Parcel]) -> queues.Bell:
    return queues.Bell(
        queue=queues.ANALYTICS,
        job="ckanext.hdxjobs.analytics.job.store_events",
        args=(dumped(parcels),),
        key=f"store-{parcels[0].event_id}",
        title=f"Store {len(parcels)} events that the database did not take",
        timeout_s=JOB_TIMEOUT_S,
    )


def _visitor(visit: Visit | None, own: Line) -> str:
    if visit is None:
        return ""
    try:
        salt = own.salts.today(own.ask)
    except _FAULTS:
        return ""
    return privacy.visitor_id(salt, address=visit.address, agent=visit.agent, site=visit.site)


def _facts(event: Event, ask: Ask) -> Facts:
    try:
        return find(event, ask)
    except _FAULTS:
        return UNKNOWN


def _backstage() -> dict[str, JSON]:
    """What is told of an event without a visitor."""
    return {"server side": True, "event source": "job" if rq.get_current_job() else "cli"}


def _properties(
    event: Event, facts: Facts, visit: Visit | None, settings: AnalyticsSettings
) -> dict[str, JSON] | None:
    """What is stored of an event, or None when an extension vetoes it."""
    properties = visit.properties(tell_network=settings.ip == "cut") if visit else _backstage()
    properties |= event.properties()
    for plugin in plugins.PluginImplementations(IHdxJobsAnalytics):
        try:
            changed = plugin.analytics_properties(event.name, dict(properties), facts.fields)
        except Exception as error:
            complain("Plugin %s failed on an event (%s)", plugin.name, type(error).__name__)
            continue
        if changed is None:
            return None
        properties = changed
    return privacy.cleaned(
        properties,
        is_private=facts.is_private,
        is_personal=bool(visit and privacy.is_personal(visit.url)),
        allowed=settings.allow,
    )
