"""A site at work, looked at every few seconds: what its workers, databases and disks hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis

EVERY_S = 2.0

#: Connections of clients to the site's two databases, those of this program left out.
_CONNECTIONS = """
SELECT count(*), count(*) FILTER (WHERE state = 'idle')
FROM pg_stat_activity
WHERE datname IN (%s, %s) AND backend_type = 'client backend' AND application_name <> 'soak'
"""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    :ivar at_s: seconds since the watch began
    :ivar worker_mb: resident memory of each worker, without the processes that do its jobs
    :ivar job_mb: of the largest of those processes; 0: none is there
    :ivar idle: connections to PostgreSQL that do nothing, of ``connections``
    """

    at_s: float
    worker_mb: tuple[float, ...]
    job_mb: float
    connections: int
    idle: int
    redis_mb: float
    folders: int


@dataclass(frozen=True)
class Watched:
    """Where to look.

    :ivar ckan_url, map_name: CKAN's database, and the name of the map database on the same server
    """

    worker_mb: Callable[[], tuple[float, ...]]
    job_mb: Callable[[], float]
    ckan_url: str
    map_name: str
    redis_port: int
    work_folder: Path


class Watch(threading.Thread):
    """Looks until it is told to stop."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(daemon=True)
        self._watched = watched
        self._over = threading.Event()
        self._began = time.monotonic()
        self._redis = redis.Redis(port=watched.redis_port)
        self.samples: list[Sample] = []

    def run(self) -> None:
        self.samples.append(self._look())
        while not self._over.wait(EVERY_S):
            self.samples.append(self._look())

    def stop(self) -> list[Sample]:
        self._over.set()
        self.join()
        # What is left behind is counted when all is done, not some seconds before.
        self.samples.append(self._look())
        return self.samples

    def _look(self) -> Sample:
        watched = self._watched
        connections, idle = self._connections()
        return Sample(
            at_s=time.monotonic() - self._began,
            worker_mb=watched.worker_mb(),
            job_mb=watched.job_mb(),
            connections=connections,
            idle=idle,
            redis_mb=self._redis.info("memory")["used_memory"] / 1e6,
            folders=sum(1 for _ in watched.work_folder.iterdir()),
        )

    def _connections(self) -> tuple[int, int]:
        connection = psycopg2.connect(self._watched.ckan_url, application_name="soak")
        try:
            with connection.cursor() as cursor:
                cursor.execute(_CONNECTIONS, [connection.info.dbname, self._watched.map_name])
                all_, idle = cursor.fetchone() or (0, 0)
        finally:
            connection.close()
        return int(all_), int(idle)


def quarters(samples: Sequence[Sample], of: Callable[[Sample], float]) -> list[float]:
    """A number's median in each quarter of the time."""
    size = max(1, len(samples) // 4)
    parts = [samples[start : start + size] for start in range(0, 4 * size, size)]
    return [sorted(map(of, part))[len(part) // 2] for part in parts if part]
