"""Who asks for which tiles: counted by each process, and carried to Redis (``footprints``) now and then.

A request only counts.  Every ten seconds one of them carries what its process has counted, after its answer
has been sent.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time

import redis
from werkzeug.wrappers import Response

from ckanext.hdxjobs import queues
from ckanext.hdxjobs.geopreview import footprints
from ckanext.hdxjobs.geopreview.tally import Place, Tally

log = logging.getLogger(__name__)

#: Seconds between two writes of a process.
FLUSH_S = 10


class _Pace:
    """When this process writes: one thread at a time, not more often than every ``FLUSH_S``."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked process: a thread of the parent's may have held the lock."""
        self._due = 0.0
        self.writing = threading.Lock()

    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def begun(self) -> None:
        self._due = time.monotonic() + FLUSH_S


_tally = Tally()
_pace = _Pace()


def note(answer: Response, layer_id: str, place: Place, *, source: str, began_s: float) -> Response:
    """Count a tile that is about to be sent; some microseconds.

    Only for layers that exist: ids that visitors make up would fill Redis.

    :param source: the state of ``X-Tile``; "memory" for a tile of the process's own; "busy" for a 503
    :param began_s: of ``time.perf_counter()``
    :returns: the answer
    """
    sent_bytes = 0 if answer.status_code == 304 else answer.calculate_content_length() or 0
    _tally.note(layer_id, place, source, (time.perf_counter() - began_s) * 1000, sent_bytes)
    if _pace.is_due():
        answer.call_on_close(_flush_if_due)
    return answer


def _flush_if_due() -> None:
    if _pace.is_due():
        flush()


def flush() -> None:
    """Write what this process has counted; when Redis is away it is kept, and tried again later."""
    if queues.breaker.is_open() or not _pace.writing.acquire(blocking=False):
        return
    try:
        _pace.begun()
        _write_all()
    finally:
        _pace.writing.release()


def _write_all() -> None:
    counts = _tally.take()
    if not counts:
        return
    try:
        client = queues.connection()
        # A frozen Redis carries out later what it was sent: it is sent no counts before it answers.
        client.ping()
    except (redis.RedisError, OSError) as error:
        _tally.give_back(counts)
        _trouble(error, "kept")
        return
    try:
        footprints.write(client, counts)
    except redis.ResponseError as error:
        _tally.give_back(counts)
        _trouble(error, "kept")
    except (redis.RedisError, OSError) as error:
        # Rather too few than twice.
        _trouble(error, "lost, or taken all the same")


def _trouble(error: Exception, fate: str) -> None:
    if not isinstance(error, redis.ResponseError):
        queues.breaker.trip()
    log.warning("Redis does not take the counts of tiles (%s); they are %s", type(error).__name__, fate)


def _begin_anew() -> None:
    _tally.begin_anew()
    _pace.begin_anew()


# A forked process writes its own counts, not its parent's.
os.register_at_fork(after_in_child=_begin_anew)
atexit.register(flush)
