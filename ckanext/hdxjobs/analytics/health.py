"""How the sinks fare: table ``hdxjobs_sink``.  A pause belongs to the sink, not to its million rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ckanext.hdxjobs.analytics.outbox import LEASE_S, Outbox
from ckanext.hdxjobs.analytics.sinks import Receipt

#: Seconds of the first and of the longest pause after faults in a row.
PAUSE_MIN_S = 5.0
PAUSE_MAX_S = 600.0

#: A service may ask for this much and no more, and a wrong password is tried again this often.
RETRY_AFTER_MAX_S = 3600.0


@dataclass(frozen=True)
class Health:
    """A sink as operators see it.

    :ivar oldest_s: seconds since its oldest waiting event happened; None without any
    """

    name: str
    state: str
    backlog: int
    dead: int
    oldest_s: float | None
    delivered_last_hour: int
    failures: int
    last_error: str | None
    last_error_at: datetime | None
    alarm: str | None
    paused_until: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True)
class DayCount:
    """How many events of one name were delivered on a day (UTC)."""

    day: date
    name: str
    delivered: int


def backoff_s(failures: int) -> float:
    """Seconds of rest after so many faults in a row: exponential, with full jitter above the minimum."""
    longest = min(PAUSE_MAX_S, PAUSE_MIN_S * 2.0 ** min(failures, 16))
    return random.uniform(PAUSE_MIN_S, longest)  # noqa: S311 spreads load, guards nothing


def may_send(outbox: Outbox, sink: str) -> bool | None:
    """Whether a sink may be given events: True, None for one small batch to probe it, False while it rests."""
    rows = outbox.rows("may_send", sink=sink, probe_s=LEASE_S)
    if not rows:
        return False
    return None if rows[0]["failures"] else True


def pause(outbox: Outbox, sink: str, receipt: Receipt, *, probing: bool = False) -> float:
    """A sink must rest; the seconds until it is tried again.

    :param receipt: says why, and how long the service wishes (0.0 = it does not say)
    :param probing: this was the probe: the sink rested for all others meanwhile
    """
    rows = outbox.rows("failures", sink=sink)
    failures = rows[0]["failures"] if rows else 0
    pause_s = min(receipt.pause_s or 0.0, RETRY_AFTER_MAX_S) or backoff_s(failures)
    if receipt.alarm:
        pause_s = max(pause_s, PAUSE_MAX_S)
    error = (receipt.error or receipt.alarm or "")[:500]
    outbox.change("pause", sink=sink, pause_s=pause_s, error=error, alarm=receipt.alarm, probing=probing)
    return pause_s


def well(outbox: Outbox, sink: str, *, probing: bool = False) -> None:
    """A sink took its batch; a pause that another drain has met since then stays, unless this was the probe."""
    outbox.change("well", sink=sink, probing=probing)


def overview(outbox: Outbox, sinks: Sequence[str]) -> list[Health]:
    """The sinks of the settings, and others that still have events."""
    return [_health(row, configured=row["name"] in sinks) for row in outbox.rows("health", sinks=list(sinks))]


def days(outbox: Outbox, *, days: int) -> list[DayCount]:
    """Delivered events a day, from our own counts."""
    return [DayCount(**row) for row in outbox.rows("days", days=days)]


def _health(row: dict[str, Any], *, configured: bool) -> Health:
    is_paused = row.pop("is_paused")
    if not configured:
        state = "off"
    elif row["alarm"]:
        state = "alarm"
    elif is_paused:
        state = "paused"
    elif row["failures"]:
        state = "recovering"
    else:
        state = "ok"
    return Health(state=state, **row)
