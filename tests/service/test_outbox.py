"""The outbox against a real PostgreSQL: claims, leases, dead letters, counts, and answers within a deadline."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest

from ckanext.hdxjobs.analytics import delivery, health
from ckanext.hdxjobs.analytics.outbox import Outbox, Parcel, put_parameters
from ckanext.hdxjobs.analytics.salts import Salts
from ckanext.hdxjobs.analytics.sinks import MemorySink, Receipt
from ckanext.hdxjobs.analytics.sql import query
from ckanext.hdxjobs.analytics.wire import LateError, Wire
from devstack import outbox as tables

#: For wires whose deadline is not the point: more than a busy machine takes.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with tables.database(os.environ["HDXJOBS_TEST_PG_URL"]) as url:
        yield url


@pytest.fixture
def outbox(dsn: str) -> Iterator[Outbox]:
    tables.empty(dsn)
    made = Outbox(dsn)
    yield made
    made.close()


def parcels(count: int, *, sinks: tuple[str, ...] = ("memory",), **fields: Any) -> list[Parcel]:
    return [
        Parcel(str(uuid.uuid4()), "page view", "v", "1", {"layers": n}, sinks, **fields) for n in range(count)
    ]


def ids(claimed: Any) -> set[str]:
    return {envelope.event_id for envelope in claimed.envelopes}


def test_an_event_is_a_row_for_each_sink(outbox: Outbox) -> None:
    assert outbox.put(parcels(2, sinks=("a", "b", "c"))) == 6


def test_an_event_that_comes_twice_is_stored_once(outbox: Outbox) -> None:
    (parcel,) = parcels(1)

    assert (outbox.put([parcel]), outbox.put([parcel])) == (1, 0)


def clock(dsn: str) -> datetime:
    """The database's."""
    ((now,),) = tables.run(dsn, "SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def test_an_event_is_as_old_as_it_said(outbox: Outbox, dsn: str) -> None:
    age = timedelta(seconds=60)
    before = clock(dsn)
    outbox.put(parcels(1, age_s=age.total_seconds()))
    after = clock(dsn)

    (row,) = outbox.search(limit=1)
    assert before - age <= row["occurred_at"] <= after - age


def test_a_salt_has_a_part_of_its_day_left(outbox: Outbox) -> None:
    (now,) = outbox.rows("salt", salt=b"x")

    assert 0 < now["left_s"] <= 86_400


def test_the_machines_own_clock_does_not_date_events(
    outbox: Outbox, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    before = clock(dsn)
    outbox.put(parcels(1))
    after = clock(dsn)

    (row,) = outbox.search(limit=1)
    assert before <= row["occurred_at"] <= after


def test_two_drains_never_hold_the_same_event(outbox: Outbox, dsn: str) -> None:
    outbox.put(parcels(10))
    other = Outbox(dsn)

    first, second = outbox.claim("memory", limit=6), other.claim("memory", limit=6)
    other.close()
    assert (len(ids(first)), len(ids(second)), ids(first) & ids(second)) == (6, 4, set())


def test_a_claim_takes_the_oldest_first(outbox: Outbox) -> None:
    sent = parcels(5)
    for parcel in sent:
        outbox.put([parcel])

    claimed = outbox.claim("memory", limit=3)
    assert [one.event_id for one in claimed.envelopes] == [one.event_id for one in sent[:3]]


def test_a_lease_that_ran_out_is_anybodys(outbox: Outbox) -> None:
    outbox.put(parcels(3))
    held = outbox.claim("memory", limit=3, lease_s=-1)

    assert ids(outbox.claim("memory", limit=3)) == ids(held)


def test_a_settled_batch_keeps_only_what_was_neither_delivered_nor_refused(outbox: Outbox) -> None:
    outbox.put(parcels(3))
    claimed = outbox.claim("memory", limit=3)
    good, bad, rest = (one.event_id for one in claimed.envelopes)

    assert outbox.settle("memory", claimed, delivered=[good], refused={bad: "too long"}) == 2
    assert {row["event_id"]: row["last_error"] for row in outbox.search(limit=9)} == {
        bad: "too long",
        rest: None,
    }
    assert ids(outbox.claim("memory", limit=3)) == {rest}


def test_one_sinks_delivery_leaves_the_others_rows(outbox: Outbox) -> None:
    outbox.put(parcels(1, sinks=("a", "b")))
    claimed = outbox.claim("a", limit=1)
    outbox.settle("a", claimed, delivered=ids(claimed), refused={})

    assert [row["sink"] for row in outbox.search(limit=9)] == ["b"]


def test_a_dead_letter_is_not_claimed_until_it_is_revived(outbox: Outbox) -> None:
    outbox.put(parcels(1))
    claimed = outbox.claim("memory", limit=1)
    outbox.settle("memory", claimed, delivered=[], refused=dict.fromkeys(ids(claimed), "no"))
    before = ids(outbox.claim("memory", limit=1))
    outbox.change("revive", sink=None, event_id=None)

    assert (before, ids(outbox.claim("memory", limit=1))) == (set(), ids(claimed))


def test_delivered_and_refused_events_are_counted(outbox: Outbox) -> None:
    outbox.put(parcels(4))
    claimed = outbox.claim("memory", limit=4)
    first, *rest = ids(claimed)
    outbox.settle("memory", claimed, delivered=rest, refused={first: "no"})

    (one,) = health.overview(outbox, ["memory"])
    assert (one.delivered_last_hour, one.dead, one.backlog) == (3, 1, 0)
    assert [day.delivered for day in health.days(outbox, days=2)] == [3]


def test_old_counts_are_kept_by_the_day(outbox: Outbox, dsn: str) -> None:
    insert = (
        "INSERT INTO hdxjobs_event_tally (slot, sink, name, delivered)"
        " SELECT date_trunc('day', now(), 'UTC') - interval '5 days' + make_interval(mins => 10 * n), 'a', 'x', 2"
        " FROM generate_series(0, 5) AS n"
    )
    tables.run(dsn, insert)
    for _ in range(2):
        outbox.change("fold")

    assert tables.run(dsn, "SELECT count(*), sum(delivered)::int FROM hdxjobs_event_tally") == [(1, 12)]


def test_what_is_too_old_is_forgotten(outbox: Outbox) -> None:
    outbox.put([*parcels(2, age_s=40 * 86400.0), *parcels(3)])

    assert (outbox.change("forget", days=30), len(outbox.search(limit=9))) == (2, 3)


def test_yesterdays_salt_is_destroyed(outbox: Outbox, dsn: str) -> None:
    ((yesterday,),) = tables.run(
        dsn,
        "INSERT INTO hdxjobs_salt VALUES ((now() AT TIME ZONE 'UTC')::date - 1, 'old')"
        " ON CONFLICT (day) DO UPDATE SET salt = 'old' RETURNING day",
    )
    outbox.change("forget_salts")

    assert tables.run(dsn, "SELECT count(*) FROM hdxjobs_salt WHERE day <= %s", [yesterday]) == [(0,)]


def test_all_processes_share_the_days_salt(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=PATIENCE_S)

    assert Salts().today(wire.run) == Salts().today(wire.run)


def test_a_sink_that_failed_gets_one_prober(outbox: Outbox, dsn: str) -> None:
    health.pause(outbox, "memory", Receipt(pause_s=0.001, error="HTTP 503"))
    time.sleep(0.01)
    other = Outbox(dsn)

    assert (health.may_send(outbox, "memory"), health.may_send(other, "memory")) == (None, False)
    other.close()


def test_a_sink_rests_as_long_as_it_asked(outbox: Outbox) -> None:
    assert health.pause(outbox, "memory", Receipt(pause_s=77, error="HTTP 429")) == 77
    assert health.may_send(outbox, "memory") is False


def test_a_sink_may_not_ask_for_more_than_an_hour(outbox: Outbox) -> None:
    assert health.pause(outbox, "memory", Receipt(pause_s=1e6, error="HTTP 429")) == 3600


def test_wrong_credentials_raise_an_alarm_and_lose_nothing(outbox: Outbox) -> None:
    outbox.put(parcels(5))
    sink = MemorySink()
    sink.faults = [Receipt(pause_s=0.0, alarm="HTTP 401: check the token", error="HTTP 401")]

    delivery.drain(outbox, sink, budget_s=5)

    (one,) = health.overview(outbox, ["memory"])
    assert (one.state, one.backlog, one.dead) == ("alarm", 5, 0)


def test_a_mended_sink_gets_everything(outbox: Outbox) -> None:
    outbox.put(parcels(5))
    sink = MemorySink()
    sink.faults = [Receipt(pause_s=0.0, alarm="HTTP 401")]
    delivery.drain(outbox, sink, budget_s=5)
    outbox.change("unpause", sink=None)

    assert delivery.drain(outbox, sink, budget_s=5).delivered == 5
    assert health.overview(outbox, ["memory"])[0].state == "ok"


class Brittle(MemorySink):
    """Breaks whenever an event has the property that it cannot stand."""

    def send(self, batch: Any) -> Receipt:
        if any(envelope.properties["layers"] == 3 for envelope in batch):
            raise ValueError("cannot stand it")
        return super().send(batch)


def test_an_event_that_breaks_its_sink_does_not_hold_up_the_others(outbox: Outbox) -> None:
    outbox.put(parcels(8))

    delivery.drain(outbox, Brittle(), budget_s=5)

    (row,) = outbox.search(limit=9)
    assert (row["properties"]["layers"], row["attempts"], row["last_error"]) == (
        3,
        1,
        "the sink broke: ValueError",
    )


class Broken(MemorySink):
    def send(self, batch: Any) -> Receipt:
        raise ValueError


def test_a_sink_that_breaks_on_everything_rests_and_blames_no_event(outbox: Outbox) -> None:
    outbox.put(parcels(8))

    outcome = delivery.drain(outbox, Broken(), budget_s=5)

    assert outcome.paused_s is not None
    assert {row["attempts"] for row in outbox.search(limit=9)} == {0}


def test_only_sinks_with_something_to_send_are_rung_for(outbox: Outbox) -> None:
    outbox.put(parcels(1, sinks=("waits", "rests")))
    health.pause(outbox, "rests", Receipt(pause_s=60, error="HTTP 503"))

    assert outbox.rows("due_sinks", sinks=["waits", "rests", "idle"]) == [{"name": "waits"}]


def test_a_wire_stores_an_event(dsn: str, outbox: Outbox) -> None:
    Wire(dsn, deadline_s=PATIENCE_S).run(query("put"), put_parameters(parcels(1)))

    assert len(outbox.search(limit=9)) == 1


def test_a_wire_gives_up_on_a_slow_statement_in_time(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=0.2)
    began = time.monotonic()

    with pytest.raises((LateError, psycopg2.Error)):
        wire.run("SELECT pg_sleep(60)", {})
    assert time.monotonic() - began < 30


def test_a_wire_gives_up_on_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = Wire(f"postgresql://a@127.0.0.1:{silent.getsockname()[1]}/b", deadline_s=0.2)

        with pytest.raises(LateError):
            wire.run("SELECT 1", {})


def test_a_wire_survives_a_restart_of_the_server(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=PATIENCE_S)
    (pid,) = wire.run("SELECT pg_backend_pid()", {})
    assert tables.run(dsn, "SELECT pg_terminate_backend(%s, 60000)", pid) == [(True,)]

    assert wire.run("SELECT 1", {}) == [(1,)]


def test_a_refused_statement_does_not_cost_the_connection(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=PATIENCE_S)
    before = wire.run("SELECT pg_backend_pid()", {})
    with pytest.raises(psycopg2.ProgrammingError):
        wire.run("SELECT no_such_column", {})

    assert wire.run("SELECT pg_backend_pid()", {}) == before


def test_threads_share_a_wire(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=PATIENCE_S)
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(wire.run("SELECT 1", {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [[(1,)]] * 8


def test_a_forked_child_leaves_its_parents_connection_alone(dsn: str) -> None:
    wire = Wire(dsn, deadline_s=PATIENCE_S)
    before = wire.run("SELECT pg_backend_pid()", {})
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(wire.run("SELECT pg_backend_pid()", {}) == before)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert wire.run("SELECT pg_backend_pid()", {}) == before
