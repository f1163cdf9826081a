"""Doorbells: the two queues, and how a web request rings them without ever waiting long.

RQ is told a dotted path and ids, so that ringing imports no worker code and Redis holds no data.
The connection is our own: short time-outs, no retries, and a breaker.  What could not be rung is rung
by ``ckan hdxjobs sweep``; nothing is lost, because the rows are the truth.
"""

from __future__ import annotations

import functools
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import redis
import rq
from ckan.lib.jobs import add_queue_name_prefix
from redis.backoff import NoBackoff
from redis.retry import Retry

from ckanext.hdxjobs import config

log = logging.getLogger(__name__)

GEO = "geo_q"
ANALYTICS = "analytics_q"

#: Seconds without a try after Redis failed: a dead Redis costs one time-out, not one a request.
BREAK_S = 30

#: Seconds that Redis keeps the outcome of a job (nobody reads it), and that of a failed one (people may).
RESULT_TTL_S = 60
FAILURE_TTL_S = 24 * 3600


@dataclass(frozen=True)
class Bell:
    """What to ring.

    :ivar job: dotted path of the worker's function
    :ivar args: ids and numbers only
    :ivar key: names the row in the job's id; letters, digits, "-" and "_"
    """

    queue: str
    job: str
    args: tuple[str | int, ...]
    key: str
    title: str
    timeout_s: int


class Breaker:
    """Open for a while after a failure; one a process."""

    def __init__(self) -> None:
        self._open_until = 0.0

    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def trip(self) -> None:
        self._open_until = time.monotonic() + BREAK_S

    def close(self) -> None:
        self._open_until = 0.0


breaker = Breaker()


def connection() -> redis.Redis:
    """A client that answers or fails within the configured time; one a process, connected on first use."""
    return _client(config.redis_url(), config.redis_timeout_s())


@functools.lru_cache(maxsize=4)
def _client(url: str, timeout_s: float) -> redis.Redis:
    return new_client(url, timeout_s)


def new_client(url: str, timeout_s: float) -> redis.Redis:
    """One that answers or fails within that time, with connections of its own."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
    )


def ring(bell: Bell) -> bool:
    """Put a job on its queue; False when Redis does not answer (now, or moments ago)."""
    if breaker.is_open():
        return False
    try:
        _enqueue(bell, connection())
    except (redis.RedisError, OSError) as error:
        breaker.trip()
        log.warning("Redis does not answer (%s); %s waits for the sweep", type(error).__name__, bell.key)
        return False
    return True


def ring_once(bells: Sequence[Bell], *, seconds: int) -> bool:
    """Ring those bells that nobody rang in the last seconds and no worker has heard yet.

    A thousand events cost one job.  Redis is asked for all of them at once, over one connection that the
    process keeps.  False when it does not answer.
    """
    if breaker.is_open():
        return False
    try:
        try:
            _ring_marked(bells, seconds)
        except redis.ConnectionError:
            # The connection was kept across a restart of Redis; a dead Redis refuses a new one at once.
            _ring_marked(bells, seconds)
    except (redis.RedisError, OSError) as error:
        breaker.trip()
        log.warning("Redis does not answer (%s); the sweep will ring", type(error).__name__)
        return False
    return True


def _ring_marked(bells: Sequence[Bell], seconds: int) -> None:
    client = _kept()
    with client.pipeline(transaction=False) as asked:
        for bell in bells:
            asked.set(_mark(bell.key), "1", nx=True, ex=seconds)
        for bell, first in zip(bells, asked.execute(), strict=True):
            if first:
                _enqueue(bell, client)


def heard(key: str) -> None:
    """A worker answers a bell of :func:`ring_once`: whoever rings from now on is not too late."""
    try:
        with connection() as client:
            client.delete(_mark(key))
    except (redis.RedisError, OSError):
        log.debug("Redis does not answer; the mark of %s expires by itself", key)


def hush(key: str, *, seconds: int) -> None:
    """Nobody need ring a bell of :func:`ring_once` for a while."""
    try:
        with connection() as client:
            client.set(_mark(key), "1", ex=max(1, seconds))
    except (redis.RedisError, OSError):
        log.debug("Redis does not answer; %s is rung without need", key)


def _mark(key: str) -> str:
    return str(add_queue_name_prefix(f"hdxjobs:rung:{key}"))


def _kept() -> redis.Redis:
    """The process's own client, for those who ring often; redis-py makes it anew after a fork."""
    address = (config.redis_url(), config.redis_timeout_s())
    if address not in _clients:
        _clients[address] = connection()
    return _clients[address]


_clients: dict[tuple[str, float], redis.Redis] = {}


def waiting_keys(queue: str) -> set[str]:
    """The keys of the bells that no worker has answered yet.

    :raises redis.RedisError: Redis does not answer
    """
    jobs = rq.Queue(add_queue_name_prefix(queue), connection=connection()).get_job_ids()
    return {job_id.rpartition("-")[0] for job_id in jobs}


def first_in(seconds: int, *, what: str) -> bool:
    """Whether nobody else did this within the last seconds, on any machine; False without Redis."""
    try:
        return bool(connection().set(add_queue_name_prefix(f"hdxjobs:{what}"), "1", nx=True, ex=seconds))
    except (redis.RedisError, OSError):
        return False


def note(what: str) -> None:
    """Keep that something happened now; without Redis it is not known."""
    try:
        client = connection()
        client.set(_noted(what), repr(_redis_now_s(client)))
    except (redis.RedisError, OSError):
        log.debug("Redis does not answer; nobody will know when this was last done: %s", what)


def noted_s(what: str) -> float | None:
    """Seconds since :func:`note`, on any machine; None: never, as far as Redis knows.

    :raises redis.RedisError: Redis does not answer
    """
    client = connection()
    noted = client.get(_noted(what))
    return None if noted is None else max(0.0, _redis_now_s(client) - float(noted))


def _redis_now_s(client: redis.Redis) -> float:
    """By the clock that all machines share."""
    seconds, microseconds = client.time()
    return float(seconds) + microseconds / 1_000_000


def _noted(what: str) -> str:
    return str(add_queue_name_prefix(f"hdxjobs:last:{what}"))


def _enqueue(bell: Bell, client: redis.Redis) -> None:
    queue = rq.Queue(add_queue_name_prefix(bell.queue), connection=client)
    queue.enqueue_call(
        func=bell.job,
        args=bell.args,
        timeout=bell.timeout_s,
        result_ttl=RESULT_TTL_S,
        failure_ttl=FAILURE_TTL_S,
        # A fresh id each time: RQ would give an old id its old dates back.
        job_id=f"{bell.key}-{uuid.uuid4().hex[:12]}",
        description=bell.title,
        meta={"title": bell.title},
    )
