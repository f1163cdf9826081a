"""The worker's side: what RQ calls by its dotted path, and the sweep.  Only here options meet sinks."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import psycopg2
import redis

from ckanext.hdxjobs import config, queues, workers
from ckanext.hdxjobs.analytics import capture, delivery, sinks, spool
from ckanext.hdxjobs.analytics.outbox import Outbox, loaded
from ckanext.hdxjobs.analytics.sinks import Sink, SinkError
from ckanext.hdxjobs.config import AnalyticsSettings

log = logging.getLogger(__name__)

#: Seconds after which a drain begins no further batch: with its last batch it ends well before RQ's limit.
BUDGET_S = 100

#: Seconds between two sweeps by workers, all of them together.
SOMETIMES_S = 30

#: Seconds between two looks for what is too old to keep.
SELDOM_S = 3600


@dataclass(frozen=True)
class Swept:
    """What a sweep did.

    :ivar spooled: events that were carried from the spool into the outbox
    :ivar rung: sinks that had something to send and nobody to do it
    :ivar forgotten: events that were deleted because of their age
    """

    spooled: int = 0
    rung: int = 0
    forgotten: int = 0


def make_sink(name: str) -> Sink:
    """A sink from the site's options.

    :raises SinkError: there is no such sink, or an option is missing
    """
    return sinks.build(name, config.sink_options(name))


def deliver_events(sink: str) -> None:
    """Send what waits for a sink; the job of ``analytics_q``."""
    # First of all: an event that comes from now on rings again, so that none is overlooked.
    queues.heard(capture.bell_key(sink))
    workers.sign_in()
    outcome = deliver(sink)
    if outcome.paused_s is not None:
        # Until the sink may be tried again events need not ring; then the sweep does.
        queues.hush(capture.bell_key(sink), seconds=min(60, int(outcome.paused_s)))
    if outcome.more:
        capture.ring({sink})
    sweep_sometimes()


def deliver(sink: str, *, budget_s: float = BUDGET_S) -> delivery.Outcome:
    """Drain one sink and say in the log how it went."""
    began = time.monotonic()
    try:
        target = make_sink(sink)
    except SinkError as error:
        log.error("Sink %s is not set up, its events wait: %s", sink, error)
        return delivery.Outcome()
    outbox = Outbox(config.ckan_dsn())
    try:
        outcome = delivery.drain(outbox, target, budget_s=budget_s)
    finally:
        target.close()
        outbox.close()
    if outcome.delivered or outcome.refused:
        log.info(
            "Sink %s: %s events delivered, %s refused in %.1f s",
            *(sink, outcome.delivered, outcome.refused, time.monotonic() - began),
        )
    return outcome


def store_events(parcels: str) -> None:
    """Events that took the way by Redis because the database did not take them."""
    settings = config.analytics_settings()
    packed = loaded(parcels)
    outbox = Outbox(settings.dsn)
    try:
        outbox.put(packed)
    except psycopg2.DataError as error:
        log.error(
            "%s events were lost: the outbox can never hold them (%s)", len(packed), type(error).__name__
        )
        return
    except psycopg2.Error as error:
        log.warning("The outbox still takes no events (%s); they go to the spool", type(error).__name__)
        spool.write(settings.spool_folder, packed, max_bytes=settings.spool_max_bytes)
        return
    finally:
        outbox.close()
    capture.ring({sink for parcel in packed for sink in parcel.sinks})


def sweep() -> Swept:
    """One round: spool into the outbox, ring for what waits unheard, forget what is too old."""
    settings = config.analytics_settings()
    outbox = Outbox(settings.dsn)
    try:
        spooled = spool.carry(settings.spool_folder, outbox.put)
        rung = _ring_due(outbox, settings)
        outbox.change("forget_salts")
        forgotten = 0
        # Both read whole tables: not each minute.
        if queues.first_in(SELDOM_S, what="events-retention"):
            forgotten = outbox.change("forget", days=settings.retention_days)
            outbox.change("fold")
    finally:
        outbox.close()
    return Swept(spooled, rung, forgotten)


def sweep_sometimes() -> None:
    """A round at the end of a job, unless there was one a moment ago; never fails the job."""
    if not queues.first_in(SOMETIMES_S, what="events-sweep"):
        return
    try:
        sweep()
    except Exception as error:
        log.warning("The sweep after a delivery was cut short: %s", type(error).__name__)


def _ring_due(outbox: Outbox, settings: AnalyticsSettings) -> int:
    due = [row["name"] for row in outbox.rows("due_sinks", sinks=list(settings.sinks))]
    if not due:
        return 0
    try:
        waiting = queues.waiting_keys(queues.ANALYTICS)
    except redis.RedisError as error:
        log.warning(
            "Redis does not answer (%s); events for %s go on waiting", type(error).__name__, ", ".join(due)
        )
        return 0
    return sum(queues.ring(capture.bell(sink)) for sink in due if capture.bell_key(sink) not in waiting)
