"""Counting tiles in memory: by layer and zoom, how many, of what kind, how quick, how large.

A web request pays some microseconds.  The same ``Counts`` come back from where they are kept
(``footfall``), so that adding up processes, days and zooms is one function.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Bounds of the histogram in ms, each included; a last bucket holds what took longer.
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: Pairs of a layer and a zoom that are told apart between two takes; about a kilobyte each.
MAX_PAIRS = 500

#: The name of all layers beyond that.
REST = "rest"

#: Sources whose tiles cost no query for features.
READY = ("stored", "memory")

#: A tile's zoom, column and row.
Place = tuple[int, int, int]
#: A layer and a zoom.
Pair = tuple[str, int]


@dataclass(frozen=True)
class Figures:
    """What there is to say of some tiles.

    :ivar asked: how many were asked for
    :ivar by_source: how many came from where, the most first; see ``footfall.note``
    :ivar ready_share: of ``asked``, 0 to 1: stored tiles and those in a process's memory
    :ivar p50_ms: half of the tiles took no longer; this and the next two are estimated from a histogram
    :ivar max_ms: of the slowest tile
    :ivar slowest: its place
    :ivar sent_bytes: of all tiles, as they were sent
    :ivar largest: place of the largest
    """

    asked: int
    by_source: Mapping[str, int]
    ready_share: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    slowest: Place | None
    sent_bytes: int
    mean_bytes: float
    max_bytes: int
    largest: Place | None


class Counts:
    """Tiles that were counted together; grows until it is handed over.

    ``peak_ms`` and ``peak_bytes`` are the slowest and the largest tile with their places.
    """

    __slots__ = ("by_source", "histogram", "ms", "peak_bytes", "peak_ms", "sent_bytes")

    def __init__(self) -> None:
        self.by_source: dict[str, int] = {}
        self.histogram = [0] * (len(BOUNDS_MS) + 1)
        self.ms = 0.0
        self.sent_bytes = 0
        self.peak_ms: tuple[float, Place | None] = (0.0, None)
        self.peak_bytes: tuple[int, Place | None] = (0, None)

    def add(self, place: Place, source: str, ms: float, sent_bytes: int) -> None:
        """One more tile."""
        self.by_source[source] = self.by_source.get(source, 0) + 1
        self.histogram[bisect_left(BOUNDS_MS, ms)] += 1
        self.ms += ms
        self.sent_bytes += sent_bytes
        if ms >= self.peak_ms[0]:
            self.peak_ms = (ms, place)
        if sent_bytes > self.peak_bytes[0]:
            self.peak_bytes = (sent_bytes, place)

    def merge(self, other: Counts) -> None:
        """Add what was counted elsewhere."""
        for source, count in other.by_source.items():
            self.by_source[source] = self.by_source.get(source, 0) + count
        self.histogram = [mine + more for mine, more in zip(self.histogram, other.histogram, strict=True)]
        self.ms += other.ms
        self.sent_bytes += other.sent_bytes
        self.peak_ms = max(self.peak_ms, other.peak_ms, key=lambda peak: peak[0])
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes, key=lambda peak: peak[0])

    @property
    def asked(self) -> int:
        return sum(self.by_source.values())

    def quantile_ms(self, share: float) -> float:
        """The milliseconds that this share of the tiles did not exceed; 0 when none was asked for.

        Within a bucket of the histogram tiles are taken to lie evenly.
        """
        wanted = share * sum(self.histogram)
        slowest = self.peak_ms[0]
        below = 0
        for index, count in enumerate(self.histogram):
            if count and below + count >= wanted:
                low = BOUNDS_MS[index - 1] if index else 0
                high = min(BOUNDS_MS[index], slowest) if index < len(BOUNDS_MS) else slowest
                return low + max(0.0, high - low) * (wanted - below) / count
            below += count
        return 0.0

    def figures(self) -> Figures:
        """The sums, shares and quantiles."""
        asked = self.asked
        return Figures(
            asked=asked,
            by_source=dict(sorted(self.by_source.items(), key=lambda item: -item[1])),
            ready_share=sum(self.by_source.get(source, 0) for source in READY) / max(1, asked),
            mean_ms=self.ms / max(1, asked),
            p50_ms=self.quantile_ms(0.5),
            p95_ms=self.quantile_ms(0.95),
            p99_ms=self.quantile_ms(0.99),
            max_ms=self.peak_ms[0],
            slowest=self.peak_ms[1],
            sent_bytes=self.sent_bytes,
            mean_bytes=self.sent_bytes / max(1, asked),
            max_bytes=self.peak_bytes[0],
            largest=self.peak_bytes[1],
        )


def together(counts: Iterable[Counts]) -> Counts:
    """All of them as one."""
    total = Counts()
    for one in counts:
        total.merge(one)
    return total


class Tally:
    """The counts of one process, by layer and zoom.  Any thread may note."""

    def __init__(self, max_pairs: int = MAX_PAIRS) -> None:
        self._max_pairs = max_pairs
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked process: forget the parent's counts, and the lock that a thread of its may have held."""
        self._lock = threading.Lock()
        self._counts: dict[Pair, Counts] = {}

    def note(self, layer_id: str, place: Place, source: str, ms: float, sent_bytes: int) -> None:
        """Count a tile."""
        with self._lock:
            self._of((layer_id, place[0])).add(place, source, ms, sent_bytes)

    def take(self) -> dict[Pair, Counts]:
        """What was counted since the last take; it is the caller's from now on."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts

    def give_back(self, counts: Mapping[Pair, Counts]) -> None:
        """What was taken could not be written: it is taken again next time."""
        with self._lock:
            for pair, one in counts.items():
                self._of(pair).merge(one)

    def _of(self, pair: Pair) -> Counts:
        found = self._counts.get(pair)
        if found is None:
            if len(self._counts) >= self._max_pairs:
                pair = (REST, pair[1])
            found = self._counts.setdefault(pair, Counts())
        return found
