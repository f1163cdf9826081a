"""A worker's drain as a process by itself, to be measured and to be killed.

    python -m devstack.drainer SINK --dsn URL --fake URL

Goes on until the outbox is empty, or for some batches only.  Prints "sent N" after each batch that a
sink has answered and before it is settled: the moment at which a kill hurts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from ckanext.hdxjobs.analytics import delivery, health, sinks
from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.outbox import Outbox
from devstack.fakes import client


class Telling:
    """A sink that says on standard output when a batch is sent.

    :ivar hold_s: seconds to stay between sending and settling
    :ivar batches: that were sent
    """

    def __init__(self, sink: sinks.Sink, *, max_events: int | None, hold_s: float) -> None:
        self._sink = sink
        self._hold_s = hold_s
        self.batches = 0
        self.name = sink.name
        self.max_events = max_events or sink.max_events
        self.refusal = sink.refusal
        self.close = sink.close

    def send(self, batch: Sequence[Envelope]) -> sinks.Receipt:
        receipt = self._sink.send(batch)
        self.batches += 1
        print(f"sent {len(receipt.delivered)}", flush=True)
        time.sleep(self._hold_s)
        return receipt


def drain(arguments: argparse.Namespace) -> None:
    """Until nothing waits any more, or as many batches were sent as are wanted."""
    options: dict[str, Any] = {
        **client.options(arguments.fake)[arguments.sink],
        "timeout_s": arguments.timeout,
    }
    sink = Telling(
        sinks.build(arguments.sink, options), max_events=arguments.max_events, hold_s=arguments.hold
    )
    outbox = Outbox(arguments.dsn)

    def enough() -> bool:
        return bool(sink.batches == arguments.batches)

    while not enough():
        delivery.drain(outbox, sink, budget_s=5, stop=enough)
        waiting = outbox.rows("search", sink=sink.name, name=None, dead=False, after=0, limit=1)
        if not waiting:
            break
        time.sleep(0.02)
    sink.close()
    outbox.close()


def clock(offset_h: float) -> Any:
    """The process's clock, so many hours wrong."""
    if not offset_h:
        return nullcontext()
    from freezegun import freeze_time  # noqa: PLC0415 - changes every module it finds

    return freeze_time(timedelta(hours=offset_h), tick=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Drain one sink's events until there are none.")
    parser.add_argument("sink")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--fake", required=True, help="address of the fake sinks")
    parser.add_argument("--max-events", type=int, help="events a batch, if not the sink's own number")
    parser.add_argument("--batches", type=int, help="how many are sent, if not all")
    parser.add_argument("--hold", type=float, default=0, help="seconds between sending and settling")
    parser.add_argument("--timeout", type=float, default=20, help="seconds that the sink waits for an answer")
    parser.add_argument("--hour", type=float, default=3600, help="seconds that an hour of pausing takes")
    parser.add_argument("--clock", type=float, default=0, help="hours that this process's clock is wrong")
    arguments = parser.parse_args()
    health.PAUSE_MIN_S *= arguments.hour / 3600
    health.PAUSE_MAX_S *= arguments.hour / 3600
    with clock(arguments.clock):
        drain(arguments)


if __name__ == "__main__":
    main()
