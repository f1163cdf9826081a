"""Real workers of ``geo_q``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckan import model

DEADLINE_S = 240


@contextmanager
def worker(*options: str, ini: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process group of its own, ended with all it started.

    :param ini: its settings, if not those of the tests
    """
    ckan = str(Path(sys.executable).parent / "ckan")
    command = [ckan, "-c", str(ini or os.environ["HDXJOBS_TEST_INI"]), "jobs", "worker", *options, "geo_q"]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # RQ's scheduler outlives a worker that was killed
                os.killpg(process.pid, signal.SIGKILL)


def work(*, ini: Path | None = None) -> None:
    """Let a real worker empty the queue."""
    with worker("--burst", ini=ini) as process:
        assert process.wait(timeout=DEADLINE_S) == 0
    model.Session.remove()
