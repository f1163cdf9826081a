"""Events of a real site while Redis is dead, frozen or wiped: pages do not notice, and nothing is lost.

Promises 1, 2 and 5 of the design, for events.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa
from ckan.tests import factories

from ckanext.hdxjobs.geopreview.preview import engine
from devstack.fakes import client
from devstack.own_site import Site, until


@pytest.fixture(scope="module")
def fake():
    with client.running() as server:
        yield server


@pytest.fixture
def patience_s() -> float:
    """Seconds that the site waits for Redis."""
    return 60


@pytest.fixture
def portal(events, fake, tmp_path, patience_s):
    fake.reset()
    made = Site(
        tmp_path,
        fake,
        base_ini=Path(os.environ["HDXJOBS_TEST_INI"]),
        options={"ckanext.hdxjobs.redis_timeout_s": patience_s},
    )
    made.token = factories.SysadminWithToken()["token"]
    yield made
    made.stop()


def test_events_of_a_time_without_redis_arrive_once_it_is_back(portal, fake):
    portal.start_web()

    statuses = portal.download(portal.upload("without-redis"), 200)
    portal.start_redis()
    portal.start_worker()
    portal.sweep_until(lambda: fake.stats("mixpanel")["unique"] >= 202)

    assert statuses == [200] * 200
    assert fake.stats("mixpanel")["events"] == {
        "dataset create": 1,
        "resource create": 1,
        "resource download": 200,
    }
    assert fake.stats("mixpanel")["duplicates"] == 0


def test_a_redis_that_comes_back_empty_has_lost_nothing(portal, fake):
    portal.start_redis()
    portal.start_web()
    address = portal.upload("wiped-redis")
    portal.download(address, 50)
    portal.kill("redis")
    portal.start_redis()
    portal.download(address, 10)

    portal.start_worker()
    portal.sweep_until(lambda: portal.downloads_arrived() >= 60)

    assert portal.downloads_arrived() == 60
    assert fake.stats("mixpanel")["duplicates"] == 0


@pytest.mark.parametrize("patience_s", [0.2], ids=["as a site"])
def test_pages_go_on_while_redis_is_frozen_and_events_follow(portal, fake):
    portal.start_redis()
    portal.start_web()
    address = portal.upload("frozen-redis")
    portal.signal("redis", signal.SIGSTOP)

    statuses = portal.download(address, 30)
    portal.signal("redis", signal.SIGCONT)
    portal.start_worker()
    portal.sweep_until(lambda: portal.downloads_arrived() >= 30)

    assert statuses == [200] * 30
    assert portal.downloads_arrived() == 30


def outbox_is_empty() -> bool:
    with engine().connect() as connection:
        return not connection.execute(sa.text("SELECT count(*) FROM hdxjobs_event")).scalar_one()


def lease(until: str) -> int:
    """Claims of dead workers last so long, whatever time has passed; how many events are claimed."""
    statement = f"UPDATE hdxjobs_event SET lease_until = {until} WHERE lease IS NOT NULL"
    with engine().begin() as connection:
        return connection.execute(sa.text(statement)).rowcount


def test_a_worker_killed_with_its_job_again_and_again_delivers_each_event(portal, fake):
    portal.start_redis()
    portal.start_web()
    address = portal.upload("killed-worker")
    fake.fault("mixpanel", "slow", seconds=20)

    for _ in range(3):
        portal.start_worker()
        asked = fake.stats("mixpanel")["requests"]
        portal.download(address, 10)
        until(lambda asked=asked: fake.stats("mixpanel")["requests"] > asked)
        portal.kill_with_children("worker")
        lease("now() + interval '1 day'")
    fake.fault("mixpanel", "ok")
    held = lease("now()")
    portal.start_worker()
    # The service had these events before; what is waited for is that it gets them again.
    portal.sweep_until(outbox_is_empty)

    assert held > 0
    assert portal.downloads_arrived() == 30
    assert max(fake.ids("mixpanel").values()) == 2
