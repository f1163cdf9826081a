"""What was found out a moment ago, and may be believed for that moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Answers by their question, the last used ones; for many threads.

    An answer's age counts from before the question was asked: whatever changes is heard of ``ttl_s`` later
    at the latest, however slow the answer was.

    :param clock: seconds that only ever rise
    """

    def __init__(
        self, *, ttl_s: float, max_entries: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: LRUCache[Hashable, tuple[float, Value]] = LRUCache(max_entries)

    def find(self, key: Hashable) -> Value | None:
        """The answer, if it is known and young enough."""
        with self._lock:
            asked_at_s, value = self._kept.get(key, (0.0, None))
        return value if self._clock() - asked_at_s <= self._ttl_s else None

    def now_s(self) -> float:
        """When a question is asked that is about to be answered: see ``keep``."""
        return self._clock()

    def keep(self, key: Hashable, value: Value, *, asked_at_s: float) -> None:
        """Remember an answer.

        :param asked_at_s: ``now_s()`` of before the question was asked
        """
        with self._lock:
            self._kept[key] = (asked_at_s, value)

    def drop(self, key: Hashable) -> None:
        """This is not so any more."""
        with self._lock:
            self._kept.pop(key, None)

    def forget(self) -> None:
        """Believe nothing any more."""
        with self._lock:
            self._kept.clear()
