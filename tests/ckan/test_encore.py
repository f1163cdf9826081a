"""A job that is done answers the next bells of its queue itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import redis
import rq
from ckan.lib.jobs import add_queue_name_prefix
from rq.suspension import resume, suspend

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.geopreview import encore, job, tether

Call = Callable[..., Any]
Jobs = Callable[[], list[tuple[str, int]]]


@pytest.fixture
def queue(site: None) -> rq.Queue:
    """With a connection of its own: a worker of RQ's changes the time-outs of the one that it has."""
    return rq.Queue(add_queue_name_prefix(queues.GEO), connection=redis.Redis.from_url(config.redis_url()))


@pytest.fixture
def worker(queue: rq.Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[rq.SimpleWorker]:
    """It does its jobs in this process, which is not to die with it, and gets its signals back.

    What other tests made of this process, and the time that it gets, are no reason to take no more.
    """
    monkeypatch.setattr(tether, "die_with_worker", lambda: True)
    monkeypatch.setattr(encore, "MOST_BYTES", 2**62)
    monkeypatch.setattr(encore, "MORE_S", 3600)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield rq.SimpleWorker([queue], connection=queue.connection)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def waiting(dataset: dict[str, Any], call: Call) -> list[str]:
    """Resources whose previews wait; none of their files is there, which is quickly found out."""
    addresses = [f"http://127.0.0.1:9/{name}.geojson" for name in "abc"]
    return [call("resource_create", package_id=dataset["id"], url=url)["id"] for url in addresses]


def states(call: Call, resource_ids: list[str]) -> list[str]:
    return [call("hdx_geopreview_status", id=resource_id)["state"] for resource_id in resource_ids]


def do_one_job(worker: rq.SimpleWorker) -> None:
    worker.work(burst=True, max_jobs=1)


def test_one_job_makes_all_previews_that_wait(
    waiting: list[str], worker: rq.SimpleWorker, jobs: Jobs, call: Call
) -> None:
    do_one_job(worker)
    assert (states(call, waiting), jobs()) == (["failed"] * 3, [])


def test_a_bell_that_was_answered_leaves_nothing_in_redis(
    waiting: list[str], worker: rq.SimpleWorker, queue: rq.Queue
) -> None:
    kept = {each.key for each in queue.jobs[1:]}
    do_one_job(worker)
    assert not any(queue.connection.exists(key) for key in kept)


def test_after_some_seconds_the_rest_is_left_to_another_job(
    waiting: list[str], worker: rq.SimpleWorker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encore, "MORE_S", 0)
    do_one_job(worker)
    assert jobs() == [(resource_id, 1) for resource_id in waiting[1:]]


def test_a_process_that_has_become_large_takes_no_more(
    waiting: list[str], worker: rq.SimpleWorker, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encore, "MOST_BYTES", 1)
    do_one_job(worker)
    assert len(jobs()) == 2


def test_jobs_of_others_on_the_same_queue_stay_where_they_are(
    waiting: list[str], worker: rq.SimpleWorker, queue: rq.Queue
) -> None:
    other = queue.enqueue_call("os.getpid")
    queue.remove(other)
    queue.connection.linsert(queue.key, "AFTER", queue.job_ids[0], other.id)
    do_one_job(worker)
    assert queue.job_ids[0] == other.id


def test_suspended_workers_take_no_more(
    waiting: list[str], worker: rq.SimpleWorker, queue: rq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspended while it does its first job."""
    monkeypatch.setattr(tether, "die_with_worker", lambda: suspend(queue.connection) or True)
    try:
        do_one_job(worker)
        assert queue.count == 2
    finally:
        resume(queue.connection)


def test_a_worker_that_was_asked_to_end_is_not_kept(
    waiting: list[str], worker: rq.SimpleWorker, queue: rq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As RQ notes it at the first SIGTERM."""
    asked = {"shutdown_requested_date": datetime.now(timezone.utc).isoformat()}
    monkeypatch.setattr(
        tether, "die_with_worker", lambda: queue.connection.hset(worker.key, mapping=asked) or True
    )
    do_one_job(worker)
    assert queue.count == 2


def test_outside_of_a_worker_one_preview_is_made(waiting: list[str], jobs: Jobs) -> None:
    job.run_preview(waiting[0], 1)
    assert len(jobs()) == 3
