"""Analytics, measured: ./dev bench analytics writes its part of benchmarks/README.md."""

from __future__ import annotations

from importlib.metadata import version

from benchmarks import analytics_delivery as delivery
from benchmarks import analytics_requests as requests
from benchmarks import report
from benchmarks.measure import Latencies, Visitor
from benchmarks.one_request import WARM_UP
from benchmarks.report import Line
from devstack import outbox, postgres
from devstack.fakes import client
from devstack.steps import step

TIMES = 3


def main() -> None:
    job_rate, lines = _requests()
    lines += _speeds(job_rate)
    report.write("analytics", [report.table(lines)], packages=_packages())
    report.close(lines)


def _requests() -> tuple[float, list[Line]]:
    """What a site says, and the events a second of a job an event on it."""
    with requests.site() as made:
        address = made.upload("bench")
        with step(f"{requests.PAIRS} downloads with tracking and as many without"):
            cost = requests.cost(made, address)
        tracked = len(cost.on.ms) + WARM_UP
        visitor = Visitor(address)
        with step("Downloads over HTTP, as usual"):
            usual = requests.usual(visitor)
        with step(f"Redis frozen for {requests.FROZEN_S} s"):
            frozen = requests.frozen_redis(made, visitor)
        with step("The outbox locked, then missing"):
            locked = requests.without_outbox(visitor, requests.locked_outbox, 100)
            missing = requests.without_outbox(visitor, requests.missing_outbox, 100)
        with step("All of them delivered"):
            tracked += requests.WARM_UP + sum(len(each.ms) for each in (usual, frozen, locked, missing))
            arrived = requests.delivered(made, tracked)
        with step(f"A worker with a job an event, {delivery.JOBS} events"):
            job_rate = delivery.job_an_event(made)
        with step("A million waiting events, two kills"):
            backlog = delivery.million(requests.dsn(), made.fake, visitor)
    return job_rate, [
        *_cost(cost),
        *_trouble(usual, frozen, locked, missing),
        Line(
            "downloads made / arrived, all of the above",
            f"{tracked} / {arrived}",
            "equal",
            tracked == arrived,
        ),
        *_backlog(backlog),
    ]


def _cost(found: requests.Cost) -> list[Line]:
    p50, p99 = found.added_ms(0.5), found.added_ms(0.99)
    own = found.inside
    return [
        Line("a download without tracking", f"p50 {found.off.p50:.2f} ms, p99 {found.off.p99:.2f} ms"),
        Line("a download with tracking", f"p50 {found.on.p50:.2f} ms, p99 {found.on.p99:.2f} ms"),
        Line(
            f"tracking adds, p50 (median of {requests.TURNS} turns)", f"{p50:.2f} ms", "≤ 0.3 ms", p50 <= 0.3
        ),
        Line(f"tracking adds, p99 (median of {requests.TURNS} turns)", f"{p99:.2f} ms", "≤ 2 ms", p99 <= 2),
        Line("tracking's own processor time in a request", f"p50 {own.p50:.2f} ms, p99 {own.p99:.2f} ms"),
        Line("… and after the answer", f"p50 {found.after.p50:.2f} ms, p99 {found.after.p99:.2f} ms"),
    ]


def _trouble(usual: Latencies, frozen: Latencies, locked: Latencies, missing: Latencies) -> list[Line]:
    # One request a process pays in 30 s; the usual time of a request is not Redis' fault.
    often = requests.FROZEN_S // 30 + 1
    paid = frozen.slower_than(usual.p99 + 100)
    return [
        Line(
            f"Redis frozen {requests.FROZEN_S} s: the slowest of {len(frozen.ms)} requests adds",
            f"{frozen.highest - usual.p50:.0f} ms", "≤ 250 ms", frozen.highest - usual.p50 <= 250,
        ),
        Line("… and so many of them were slower by 100 ms or more", str(paid), f"≤ {often}", paid <= often),
        Line(
            "outbox locked: the slowest of 100 requests adds",
            f"{locked.highest - usual.p50:.0f} ms", "≤ 200 ms", locked.highest - usual.p50 <= 200,
        ),
        Line(
            "outbox missing: the slowest of 100 requests adds",
            f"{missing.highest - usual.p50:.0f} ms", "≤ 200 ms", missing.highest - usual.p50 <= 200,
        ),
        Line(
            "statuses of all these requests",
            " ".join(map(str, sorted(frozen.statuses | locked.statuses | missing.statuses))), "200",
            frozen.statuses | locked.statuses | missing.statuses == {200},
        ),
    ]  # fmt: skip


def _backlog(found: delivery.Backlog) -> list[Line]:
    quarters = found.quarters_mb()
    added = found.during.p99 - found.before.p99
    return [
        Line("a million waiting events drained in", f"{found.seconds:.0f} s, {found.kills} kills on the way"),
        Line(
            "… arrived / twice", f"{found.unique} / {found.duplicates}",
            f"{delivery.BACKLOG} / ≤ 2,000", found.unique == delivery.BACKLOG and found.duplicates <= 2000,
        ),
        Line(
            "… memory of the drain, the most in each quarter",
            ", ".join(f"{each:.0f}" for each in quarters) + " MB", "< 200 MB, flat",
            max(quarters) < 200 and max(quarters) - quarters[0] < 20,
        ),
        Line(
            "… downloads meanwhile, p50 / p99 (before)",
            f"{found.during.p50:.1f} / {found.during.p99:.1f} ms ({found.before.p50:.1f} / {found.before.p99:.1f} ms)",
        ),
        Line("… which adds, p99 (site, drain, database and fake share the machine; drain and fake are nice)", f"{added:.1f} ms"),
    ]  # fmt: skip


def _speeds(job_rate: float) -> list[Line]:
    with outbox.database(postgres.url(postgres.SUPERUSER, "postgres")) as dsn, client.running() as fake:
        with step(f"Mixpanel: {delivery.EVENTS} events, {TIMES} times"):
            mixpanel = _median(dsn, fake, "mixpanel", delivery.EVENTS, 50)
        with step(f"GA4: {delivery.LONE_VISITORS} visitors with an event each, {TIMES} times"):
            lone = _median(dsn, fake, "ga4", delivery.LONE_VISITORS, delivery.LONE_VISITORS)
        with step(f"GA4: {delivery.EVENTS} events of 10 visitors, {TIMES} times"):
            busy = _median(dsn, fake, "ga4", delivery.EVENTS, 10)
        with step(f"The official library, {delivery.CALLS} calls"):
            rate, call_ms = delivery.library(fake)
    ours = mixpanel.events_a_second
    return [
        Line("draining to Mixpanel, one worker", f"{ours:,.0f} events/s", "≥ 5,000", ours >= 5000),
        Line("… memory", f"{mixpanel.rss_mb:.0f} MB"),
        Line(
            "draining to GA4, a visitor an event (8 connections)",
            f"{lone.requests_a_second:,.0f} requests/s",
            "≥ 1,000",
            lone.requests_a_second >= 1000,
        ),
        Line("draining to GA4, events of 10 visitors", f"{busy.events_a_second:,.0f} events/s"),
        Line(
            f"{delivery.MIXPANEL.replace('==', ' ')}, one call an event",
            f"{rate:,.0f} events/s; a call holds its request {call_ms:.2f} ms on loopback",
        ),
        Line("an RQ job an event, one CKAN worker", f"{job_rate:.1f} events/s"),
        Line("… ours is faster", f"{ours / rate:,.0f} times, {ours / job_rate:,.0f} times"),
    ]


def _median(dsn: str, fake: client.Fake, sink: str, count: int, visitors: int) -> delivery.Speed:
    runs = [delivery.drain(sink, dsn, fake, count=count, visitors=visitors) for _ in range(TIMES)]
    return sorted(runs, key=lambda each: each.seconds)[TIMES // 2]


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("ckan", "rq", "requests", "psycopg2"))


if __name__ == "__main__":
    main()
