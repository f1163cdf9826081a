"""A job ends with the worker that runs it: RQ never stops the orphan of a killed one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import redis
import rq

#: prctl's number for "send me this signal when my parent dies" (linux/prctl.h).
_PR_SET_PDEATHSIG = 1


def die_with_worker() -> bool:
    """RQ never stops the orphan of a killed worker: let the kernel do it (Linux only); False: it is one already."""
    current = rq.get_current_job()
    if sys.platform != "linux" or current is None:
        return True
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return _worker_pid(current) in (None, os.getppid(), os.getpid())


def _worker_pid(current: rq.job.Job) -> int | None:
    """The worker that took a job, as it told Redis; None when Redis does not know."""
    try:
        told = current.connection.hget(
            f"{rq.Worker.redis_worker_namespace_prefix}{current.worker_name}", "pid"
        )
    except redis.RedisError:
        return None
    return int(told) if told else None
