"""Single flight: who asks for what is being made already waits for that instead of having it made again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Flights(Generic[Result]):
    """Work that is going on in this process, by its key.  Nothing is kept once it is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: dict[Hashable, Future[Result]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """The result of ``work``, or of the same work that another thread has begun; errors are shared too.

        :param key: equal for work that is the same
        """
        while True:
            own: Future[Result] = Future()
            with self._lock:
                going = self._going.setdefault(key, own)
            if going is own:
                return self._lead(key, own, work)
            try:
                return going.result()
            except CancelledError:
                # The thread that led was told to end: somebody else has to do its work.
                continue

    def _lead(self, key: Hashable, own: Future[Result], work: Callable[[], Result]) -> Result:
        try:
            result = work()
        except Exception as error:
            self._land(key)
            own.set_exception(error)
            raise
        except BaseException:
            self._land(key)
            own.cancel()
            raise
        self._land(key)
        own.set_result(result)
        return result

    def _land(self, key: Hashable) -> None:
        # Before the result is told: whoever asks from now on gets something newer.
        with self._lock:
            del self._going[key]
