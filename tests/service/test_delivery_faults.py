"""Delivery under kills and faults: real processes, a real database, a real server that fails.

Promises 13 to 17 of the design: nothing is dropped, nothing waits longer than it
must, and what arrives twice is counted.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from ckanext.hdxjobs.analytics.outbox import Outbox
from devstack import outbox as outboxes
from devstack.fakes import client

KILLS = 50
BATCH = 20
PATIENCE_S = 180


@pytest.fixture(scope="module")
def database():
    with outboxes.database(os.environ["HDXJOBS_TEST_PG_URL"]) as url:
        yield url


@pytest.fixture(scope="module")
def server():
    with client.running() as fake:
        yield fake


@pytest.fixture
def fake(server):
    server.reset()
    return server


class Delivery:
    """An outbox, the fake that its events go to, and processes that drain it."""

    def __init__(self, url, fake):
        self.url, self.fake = url, fake

    def fill(self, sink, count, **more):
        return outboxes.fill(self.url, sink, count, **more)

    def run(self, statement, *parameters):
        return outboxes.run(self.url, statement, parameters or None)

    def start(self, sink, *options):
        command = [sys.executable, "-m", "devstack.drainer", sink, "--dsn", self.url, "--fake", self.fake.url]
        return subprocess.Popen([*command, *map(str, options)], stdout=subprocess.PIPE, text=True)

    @contextmanager
    def draining(self, sink, *options, processes=1):
        """Processes that drain meanwhile; they must end by themselves, with everything sent."""
        started = [self.start(sink, *options) for _ in range(processes)]
        try:
            yield started
            for each in started:
                assert each.wait(PATIENCE_S) == 0
        finally:
            for each in started:
                each.kill()
                each.communicate()

    def finish(self, sink, *options):
        with self.draining(sink, *options):
            pass

    def let_leases_end(self):
        """Two minutes pass for what a killed process had claimed."""
        self.run(
            "UPDATE hdxjobs_event SET lease_until = lease_until - interval '121 s' WHERE lease_until IS NOT NULL"
        )

    def waiting(self):
        return self.run("SELECT count(*) FROM hdxjobs_event WHERE dead_at IS NULL")[0][0]

    def dead(self):
        return dict(
            self.run("SELECT event_id::text, last_error FROM hdxjobs_event WHERE dead_at IS NOT NULL")
        )

    def sink(self, name):
        columns = "failures, alarm, last_error, extract(epoch FROM paused_until - now())::float8"
        return self.run(f"SELECT {columns} FROM hdxjobs_sink WHERE name = %s", name)[0]

    def failures(self, name):
        rows = self.run("SELECT failures FROM hdxjobs_sink WHERE name = %s", name)
        return rows[0][0] if rows else 0


@pytest.fixture
def delivery(database, fake):
    outboxes.empty(database)
    return Delivery(database, fake)


def until(condition):
    """Wait for it; fails after three minutes."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("sink", ["mixpanel", "ga4"])
def test_fifty_kills_between_sending_and_settling_lose_nothing(delivery, fake, sink):
    ids = delivery.fill(sink, BATCH * (KILLS + 10))

    for _ in range(KILLS):
        process = delivery.start(sink, "--max-events", BATCH, "--hold", 60)
        assert process.stdout.readline().startswith("sent")
        process.kill()
        process.communicate()
        delivery.let_leases_end()
    delivery.finish(sink, "--max-events", BATCH)

    known = fake.stats(sink)
    assert set(fake.ids(sink)) == ids
    assert 0 < known["duplicates"] <= KILLS * BATCH
    if sink == "mixpanel":
        assert known["events"] == {"resource download": len(ids)}
    else:
        assert sum(known["events"].values()) == len(ids) + known["duplicates"]
    assert delivery.dead() == {}


def test_kills_at_any_moment_of_two_drains_lose_nothing(delivery, fake):
    ids = delivery.fill("mixpanel", 6_000)
    chance = random.Random(4)

    for _ in range(12):
        both = [delivery.start("mixpanel", "--max-events", 50) for _ in range(2)]
        both[0].stdout.readline()
        time.sleep(chance.uniform(0, 0.2))
        for process in both:
            process.kill()
            process.communicate()
        delivery.let_leases_end()
    delivery.finish("mixpanel")

    assert set(fake.ids("mixpanel")) == ids
    assert fake.stats("mixpanel")["events"] == {"resource download": len(ids)}


def test_two_drains_at_once_send_nothing_twice(delivery, fake):
    ids = delivery.fill("mixpanel", 8_000)

    with delivery.draining("mixpanel", "--max-events", 100, processes=2):
        pass

    assert set(fake.ids("mixpanel")) == ids
    assert fake.stats("mixpanel")["duplicates"] == 0


def test_what_a_killed_process_held_is_left_alone_until_its_lease_ends(delivery, fake):
    delivery.fill("mixpanel", 10)
    process = delivery.start("mixpanel", "--hold", 60)
    process.stdout.readline()
    process.kill()
    process.communicate()
    outbox = Outbox(delivery.url)

    before = outbox.claim("mixpanel", limit=100)
    delivery.let_leases_end()
    after = outbox.claim("mixpanel", limit=100)
    outbox.close()

    assert (len(before.envelopes), len(after.envelopes)) == (0, 10)


# An hour of pausing in six seconds: the longest pause is 1 s instead of 10 min.
FAST = ("--hour", 6)
# Gives up soon on what never answers, and on what would have answered: only for services that hang.
IMPATIENT = (*FAST, "--timeout", 0.4)


@pytest.mark.parametrize("sink", ["mixpanel", "ga4", "webhook"])
def test_an_hour_of_faults_delays_and_loses_nothing(delivery, fake, sink):
    ids = delivery.fill(sink, 400)
    modes = [
        ("429", {"retry_after_s": -1}),
        ("503", {"retry_after_s": -1}),
        ("reset", {}),
        ("503", {}),
    ]
    if sink != "webhook":
        modes.append(("garbage", {}))

    fake.fault(sink, "hang")
    delivery.finish(sink, "--max-events", 40, "--batches", 2, *IMPATIENT)
    assert delivery.failures(sink) == 2
    with delivery.draining(sink, "--max-events", 40, *FAST):
        for mode, how in modes:
            fake.fault(sink, mode, **{"retry_after_s": 0.01, **how})
            failed = delivery.failures(sink)
            # The first batch may have begun under the fault before, the second has not.
            until(lambda failed=failed: delivery.failures(sink) >= failed + 2)
        assert delivery.dead() == {}
        fake.fault(sink, "ok")

    assert set(fake.ids(sink)) == ids
    assert fake.stats(sink)["duplicates"] == 0
    assert delivery.sink(sink)[:2] == (0, None)


def test_answers_that_get_lost_make_duplicates_and_no_losses(delivery, fake):
    ids = delivery.fill("mixpanel", 300)
    fake.fault("mixpanel", "hang", taken=True)
    delivery.finish("mixpanel", "--max-events", 40, "--batches", 4, *IMPATIENT)
    until(lambda: fake.stats("mixpanel")["requests"] == 4)
    lost = sum(fake.ids("mixpanel").values())
    fake.fault("mixpanel", "ok")

    delivery.finish("mixpanel", "--max-events", 40, *FAST)

    assert set(fake.ids("mixpanel")) == ids
    assert fake.stats("mixpanel")["events"] == {"resource download": 300}
    assert fake.stats("mixpanel")["duplicates"] == lost > 0


def test_a_service_is_not_asked_again_before_it_wishes(delivery, fake):
    delivery.fill("mixpanel", 10)
    fake.fault("mixpanel", "429", retry_after_s=2, times=1)

    began = time.monotonic()
    delivery.finish("mixpanel", *FAST)

    assert time.monotonic() - began >= 2
    assert fake.stats("mixpanel")["requests"] == 2


def test_after_a_fault_a_small_batch_goes_first(delivery, fake):
    delivery.fill("mixpanel", 500)
    fake.fault("mixpanel", "503", retry_after_s=0.05, times=2)

    with delivery.draining("mixpanel", *FAST) as (process,):
        sent = [int(line.split()[1]) for line in process.stdout]

    assert sent == [0, 0, 10, 490]


def test_wrong_credentials_wait_for_the_operator_and_cost_no_event(delivery, fake):
    ids = delivery.fill("mixpanel", 200)
    fake.fault("mixpanel", "401")

    with delivery.draining("mixpanel"):
        until(lambda: fake.stats("mixpanel")["requests"] == 1)
        until(lambda: delivery.run("SELECT 1 FROM hdxjobs_sink WHERE alarm IS NOT NULL"))
        failures, alarm, error, paused_s = delivery.sink("mixpanel")
        assert (failures, error) == (1, "HTTP 401")
        assert "credentials" in alarm
        assert paused_s > 500
        assert (delivery.waiting(), delivery.dead()) == (200, {})
        fake.fault("mixpanel", "ok")
        delivery.run("UPDATE hdxjobs_sink SET paused_until = NULL")

    assert set(fake.ids("mixpanel")) == ids
    assert delivery.sink("mixpanel")[:2] == (0, None)


def test_what_mixpanel_names_as_wrong_becomes_a_dead_letter_with_its_reason(delivery, fake):
    ids = delivery.fill("mixpanel", 30)
    fake.fault("mixpanel", "partial", every=10, times=1)

    delivery.finish("mixpanel")

    dead = delivery.dead()
    assert len(dead) == 3
    assert set(fake.ids("mixpanel")) == ids - set(dead)
    assert all("refused because the fake was told to" in reason for reason in dead.values())


def test_events_too_old_for_ga4_become_dead_letters_with_the_reason(delivery, fake):
    delivery.fill("ga4", 5)
    delivery.run("UPDATE hdxjobs_event SET occurred_at = occurred_at - interval '73 hours'")

    delivery.finish("ga4")

    assert fake.stats("ga4")["requests"] == 0
    assert {reason.partition(":")[0] for reason in delivery.dead().values()} == {"older than 72 hours"}


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_worker_whose_clock_is_wrong_dates_and_leases_rightly(delivery, fake, hours):
    ids = delivery.fill("mixpanel", 30)
    happened = dict(delivery.run("SELECT event_id::text, extract(epoch FROM occurred_at) FROM hdxjobs_event"))
    holder = delivery.start("mixpanel", "--max-events", 10, "--hold", 60, "--clock", hours)
    holder.stdout.readline()

    leases = delivery.run(
        "SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM hdxjobs_event WHERE lease IS NOT NULL"
    )
    with delivery.draining("mixpanel", "--clock", -hours):
        until(lambda: delivery.waiting() == 10)
        holder.kill()
        holder.communicate()
        delivery.let_leases_end()

    assert all(0 < lease_s <= 120 for (lease_s,) in leases)
    arrived = {
        event["properties"]["$insert_id"]: event["properties"]["time"] / 1000
        for event in fake.received("mixpanel")
    }
    assert set(arrived) == ids
    assert all(abs(arrived[event_id] - float(moment)) < 1 for event_id, moment in happened.items())
