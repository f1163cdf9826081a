"""Timing requests, watching processes, and the report's numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from devstack.own_site import BROWSER


@dataclass
class Latencies:
    """Times of requests.

    :ivar ms: milliseconds each
    :ivar statuses: HTTP statuses that came
    """

    ms: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def at(self, share: float) -> float:
        """A percentile; ``share`` from 0 to 1."""
        return sorted(self.ms)[min(len(self.ms) - 1, int(len(self.ms) * share))]

    @property
    def p50(self) -> float:
        return self.at(0.5)

    @property
    def p99(self) -> float:
        return self.at(0.99)

    @property
    def highest(self) -> float:
        return max(self.ms)

    def slower_than(self, limit_ms: float) -> int:
        return sum(each > limit_ms for each in self.ms)


class Visitor:
    """A browser on one connection that is kept open, so that what a request leaves behind delays the next."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = BROWSER

    def ask(self, into: Latencies, times: int = 1, *, every_s: float = 0) -> None:
        """Download so many times.

        :param every_s: seconds from one start to the next; 0 = at once
        """
        for _ in range(times):
            began = time.perf_counter()
            reply = self._session.get(self._address, timeout=30)
            spent_s = time.perf_counter() - began
            into.ms.append(spent_s * 1000)
            into.statuses.add(reply.status_code)
            if every_s > spent_s:
                time.sleep(every_s - spent_s)


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) / 1024 if found else 0.0
