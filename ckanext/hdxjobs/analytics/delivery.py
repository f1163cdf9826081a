"""One drain: claimed batches go to a sink until nothing is left, the sink must rest, or time is up.

At least once: rows are deleted after the service has them.  Knows no CKAN, so that it can be run,
killed and measured by itself.  Any number of drains may run side by side.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ckanext.hdxjobs.analytics import health
from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.outbox import Claimed, Outbox
from ckanext.hdxjobs.analytics.sinks import Receipt, Sink

log = logging.getLogger(__name__)

#: Events that a sink which failed gets first.
PROBE = 10

#: Events in a row that may break a sink before the sink itself is taken to be broken.
MOST_BROKEN = 3


@dataclass(frozen=True)
class Outcome:
    """How a drain ended.

    :ivar delivered: events that left the outbox for the service
    :ivar refused: events that became dead letters
    :ivar more: whether it stopped for lack of time: somebody should go on at once
    :ivar paused_s: seconds until the sink may be tried again; None when it is well
    """

    delivered: int = 0
    refused: int = 0
    more: bool = False
    paused_s: float | None = None


def never() -> bool:
    """No reason to stop early."""
    return False


def drain(outbox: Outbox, sink: Sink, *, budget_s: float, stop: Callable[[], bool] = never) -> Outcome:
    """Send what is due.

    :param budget_s: seconds; no batch is begun after them
    :param stop: asked between batches
    """
    until = time.monotonic() + budget_s
    total = Outcome()
    while True:
        allowed = health.may_send(outbox, sink.name)
        if allowed is False:
            return total
        probing = allowed is None
        claimed = outbox.claim(sink.name, limit=min(PROBE, sink.max_events) if probing else sink.max_events)
        if not claimed.envelopes:
            # A probe that found nothing to send tells nothing: the next event may try at once.
            if probing:
                outbox.change("unpause", sink=sink.name)
            return total
        receipt = _send(outbox, sink, claimed)
        done = outbox.settle(sink.name, claimed, delivered=receipt.delivered, refused=receipt.refused)
        total = Outcome(total.delivered + done - len(receipt.refused), total.refused + len(receipt.refused))
        if not receipt.healthy:
            return _rest(outbox, sink, receipt, total, probing=probing)
        if probing or done:
            health.well(outbox, sink.name, probing=probing)
        if time.monotonic() >= until or stop():
            return Outcome(total.delivered, total.refused, more=True)


def _send(outbox: Outbox, sink: Sink, claimed: Claimed) -> Receipt:
    """Refuse what can never be sent, send the rest, and survive a sink that breaks."""
    refused = {}
    fit = []
    for envelope in claimed.envelopes:
        reason = sink.refusal(envelope)
        if reason is None:
            fit.append(envelope)
        else:
            refused[envelope.event_id] = reason
    tried = Tried()
    if fit:
        tried.give(sink, fit)
    broke = tried.broke
    if broke and tried.delivered:
        # The others went well: these few are to blame, not the sink.
        for event_id, reason in broke.items():
            outbox.postpone(claimed, event_id, reason=reason)
    elif broke:
        tried.pause_s, tried.error = 0.0, next(iter(broke.values()))
    return Receipt(
        delivered=frozenset(tried.delivered),
        refused={**tried.refused, **refused},
        pause_s=tried.pause_s,
        alarm=tried.alarm,
        error=tried.error,
    )


@dataclass
class Tried:
    """What came of a batch that may have been sent in pieces.

    :ivar broke: event id -> the error with which the sink broke on it
    """

    delivered: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    broke: dict[str, str] = field(default_factory=dict)
    pause_s: float | None = None
    alarm: str | None = None
    error: str | None = None

    def give(self, sink: Sink, envelopes: Sequence[Envelope]) -> None:
        """Send; a sink that breaks gets halves, until the events it cannot stand are found."""
        try:
            receipt = sink.send(envelopes)
        except Exception as error:
            # Only the kind of error: its text might quote a URL with a secret.
            log.error("Sink %s broke on %s events (%s)", sink.name, len(envelopes), type(error).__name__)
            if len(envelopes) == 1:
                self.broke[envelopes[0].event_id] = f"the sink broke: {type(error).__name__}"
                return
            middle = len(envelopes) // 2
            for half in (envelopes[:middle], envelopes[middle:]):
                if not self._hopeless:
                    self.give(sink, half)
            return
        self.delivered |= receipt.delivered
        self.refused |= receipt.refused
        self.pause_s, self.alarm, self.error = receipt.pause_s, receipt.alarm, receipt.error

    @property
    def _hopeless(self) -> bool:
        resting = self.pause_s is not None or self.alarm is not None
        return resting or (len(self.broke) >= MOST_BROKEN and not self.delivered)


def _rest(outbox: Outbox, sink: Sink, receipt: Receipt, total: Outcome, *, probing: bool) -> Outcome:
    paused_s = health.pause(outbox, sink.name, receipt, probing=probing)
    if receipt.alarm:
        log.error(
            "Sink %s needs an operator: %s. Nothing is lost; its events wait.", sink.name, receipt.alarm
        )
    else:
        log.warning("Sink %s rests for %.0f s: %s", sink.name, paused_s, receipt.error or "it asked for it")
    return Outcome(total.delivered, total.refused, paused_s=paused_s)
