"""Queues and their workers, as Redis knows them."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import redis
import rq
from ckan.lib.jobs import add_queue_name_prefix
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from ckanext.hdxjobs import config, queues

log = logging.getLogger(__name__)

#: Seconds that Redis keeps a worker that says nothing more; RQ lengthens them with each of its heartbeats.
LISTED_S = 480


@dataclass(frozen=True)
class Worker:
    """A worker of a queue.

    :ivar state: as RQ says it: "idle", "busy", ...
    :ivar seen_s: seconds since it was last heard of; one that waits calls every few minutes
    """

    host: str
    pid: int
    state: str
    seen_s: float


@dataclass(frozen=True)
class QueueState:
    """A queue as it is now.

    :ivar waiting: jobs that no worker took yet
    """

    waiting: int
    workers: tuple[Worker, ...]


def look(queue: str) -> QueueState:
    """A queue's length and workers.

    :raises redis.RedisError: Redis does not answer
    """
    # RQ gives the pool that it finds workers with a time-out of its own, of minutes: not the one that saves use.
    with queues.new_client(config.redis_url(), config.redis_timeout_s()) as client:
        asked = rq.Queue(add_queue_name_prefix(queue), connection=client)
        waiting = asked.count
        workers = [_worker(worker) for worker in rq.Worker.all(queue=asked)]
    return QueueState(waiting, tuple(sorted(workers, key=lambda worker: (worker.host, worker.pid))))


def _worker(worker: BaseWorker) -> Worker:
    seen = worker.last_heartbeat or worker.birth_date
    if seen and seen.tzinfo is None:
        seen = seen.replace(tzinfo=timezone.utc)
    seen_s = (datetime.now(timezone.utc) - seen).total_seconds() if seen else 0.0
    state = worker.get_state()
    return Worker(
        worker.hostname or "?", worker.pid or 0, str(getattr(state, "value", state)), max(seen_s, 0.0)
    )


def sign_in() -> None:
    """Enter this job's worker in RQ's lists, which it enters once: a Redis that was emptied since knows none."""
    job = rq.get_current_job()
    if job is None or job.worker_name is None:
        return
    key = rq.Worker.redis_worker_namespace_prefix + job.worker_name
    try:
        client = queues.connection()
        if client.hexists(key, "hostname"):
            return
        who: dict[Any, Any] = {"queues": job.origin, "hostname": socket.gethostname(), "pid": os.getppid()}
        with client.pipeline() as asked:
            asked.hset(key, mapping=who)
            asked.expire(key, LISTED_S)
            asked.sadd(WORKERS_BY_QUEUE_KEY % job.origin, key)
            asked.sadd(REDIS_WORKER_KEYS, key)
            asked.execute()
    except (redis.RedisError, OSError):
        log.debug("Redis does not answer; this worker is seen once it does")
