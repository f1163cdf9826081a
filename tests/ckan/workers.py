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


def _command(*words: str, ini: Path | None = None, clock_h: int = 0) -> list[str]:
    """A ckan command line.

    :param clock_h: hours by which its clock is wrong
    """
    ckan = str(Path(sys.executable).parent / "ckan")
    clock = ["faketime", "--exclude-monotonic", "-f", f"{clock_h:+}h"] if clock_h else []
    return [*clock, ckan, "-c", str(ini or os.environ["HDXJOBS_TEST_INI"]), *words]


@contextmanager
def worker(*options: str, ini: Path | None = None, clock_h: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process group of its own, ended with all it started.

    :param ini: its settings, if not those of the tests
    """
    command = _command("jobs", "worker", *options, "geo_q", ini=ini, clock_h=clock_h)
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # RQ's scheduler outlives a worker that was killed
                os.killpg(process.pid, signal.SIGKILL)


def work(*, ini: Path | None = None, clock_h: int = 0) -> None:
    """Let a real worker empty the queue."""
    with worker("--burst", ini=ini, clock_h=clock_h) as process:
        assert process.wait(timeout=DEADLINE_S) == 0
    model.Session.remove()


def sweep(*, clock_h: int) -> None:
    """A round of a real sweep."""
    subprocess.run(
        _command("hdxjobs", "sweep", clock_h=clock_h), check=True, capture_output=True, timeout=DEADLINE_S
    )
