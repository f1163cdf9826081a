"""One preview more: a process that has made one may answer the next bell of its queue itself.

To begin a job takes a fork and all of CKAN, which is as long as a small import.  Whoever takes a bell and
dies before it is answered loses nothing: the row still waits, and the sweep rings again.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator
from typing import Any

import redis
import rq
from rq.job import Job
from rq.suspension import is_suspended

from ckanext.hdxjobs import queues

log = logging.getLogger(__name__)

#: Seconds from the begin of a job in which it takes more bells.  Its time limit is longer by as much, so that
#: the last preview has all of its own time.
MORE_S = 20

#: Bytes that a process may have had at most: what a large file left behind goes with its process.
MOST_BYTES = 400 * 1024**2


def bells(*, since: float) -> Iterator[tuple[Any, ...]]:
    """The arguments of the next bells, each taken off the queue when it is asked for.

    None outside of a worker; and none that would keep a worker from what it was told, or another queue waiting
    for long.

    :param since: of ``time.monotonic()``, when the job began
    """
    current = rq.get_current_job()
    while current is not None and time.monotonic() - since < MORE_S and _peak_bytes() < MOST_BYTES:
        try:
            taken = _take(current, queues.connection())
        except (redis.RedisError, OSError) as error:
            log.info("No more bells: %s", type(error).__name__)
            return
        if taken is None:
            return
        yield taken


def _take(current: Job, client: redis.Redis) -> tuple[Any, ...] | None:
    """The first job of the queue, if it is of the same kind; nobody else gets it."""
    if is_suspended(client) or _must_end(current, client):
        return None
    queue = rq.Queue(current.origin, connection=client)
    first = next(iter(queue.get_job_ids(0, 1)), None)
    job = queue.fetch_job(first) if first else None
    if job is None or job.func_name != current.func_name or not queue.remove(job.id):
        return None
    job.delete(remove_from_queue=False)
    return tuple(job.args)


def _must_end(current: Job, client: redis.Redis) -> bool:
    """Whether the worker was asked to end, and waits for this process."""
    worker = f"{rq.Worker.redis_worker_namespace_prefix}{current.worker_name}"
    return bool(client.hexists(worker, "shutdown_requested_date"))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
