"""A running job's sign of life: where it is, and whether it is still wanted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from ckanext.hdxjobs.errors import Superseded
from ckanext.hdxjobs.geopreview import attempt
from ckanext.hdxjobs.geopreview.values import Phase, Progress

log = logging.getLogger(__name__)

#: Seconds between two beats.
BEAT_S = 1.0


def tell_step(resource_id: str, generation: int, what: str, started: float, amount: str = "") -> None:
    """The log's line of a step that ended.

    :param started: by ``time.monotonic``
    """
    seconds = time.monotonic() - started
    log.info("Preview of %s, generation %s: %s %.2f s%s", resource_id, generation, what, seconds, amount)


class Pulse:
    """Beats from a thread of its own, so that a long step does not look dead.

    Once the claim is void (a newer file, a deletion, another worker) the next ``progress`` or
    ``phase`` raises ``Superseded``.
    """

    def __init__(self, claim: attempt.Claim) -> None:
        self._claim = claim
        self._phase: str | None = None
        self._progress: Progress | None = None
        self._watched: Callable[[], Progress | None] = lambda: None
        self._require: Callable[[], None] = lambda: None
        self._overtaken = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hdxjobs-pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def requires(self, condition: Callable[[], None]) -> None:
        """Asked before each step, which is not begun if it raises."""
        self._require = condition

    @contextmanager
    def phase(self, phase: Phase, watched: Callable[[], Progress | None] = lambda: None) -> Iterator[None]:
        """Do one step; its time, and its bytes or features, go to the log when it ends, well or not.

        :param watched: asked with each beat how far the step is, for one that cannot tell by itself
        """
        self._phase, self._progress, self._watched = phase.value, None, watched
        self._beat()
        self._check()
        self._require()
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._tell(f"{phase.value} was left after", started)
            raise
        self._tell(f"{phase.value} took", started)

    def _tell(self, what: str, started: float) -> None:
        amount = f", {self._progress.done} {self._progress.unit}" if self._progress else ""
        tell_step(self._claim.resource_id, self._claim.generation, what, started, amount)

    def progress(self, progress: Progress) -> None:
        """This far.  Costs nothing; written with the next beat."""
        self._progress = progress
        self._check()

    def _check(self) -> None:
        if self._overtaken:
            raise Superseded

    def _run(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._beat()

    def _beat(self) -> None:
        try:
            self._progress = self._watched() or self._progress
            if not attempt.beat(self._claim, phase=self._phase, progress=self._progress):
                self._overtaken = True
        except Exception as error:  # CKAN's database may come back; the sweep judges silence
            log.warning(
                "No heartbeat for the preview of %s: %s", self._claim.resource_id, type(error).__name__
            )
