"""Real workers of ``geo_q``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ckan import model

from devstack.ckan import logging_of

DEADLINE_S = 240


def command(*words: str, ini: Path | None = None, clock_h: int = 0) -> list[str]:
    """A ckan command line.

    :param clock_h: hours by which its clock is wrong
    """
    ckan = str(Path(sys.executable).parent / "ckan")
    clock = ["faketime", "--exclude-monotonic", "-f", f"{clock_h:+}h"] if clock_h else []
    return [*clock, ckan, "-c", str(ini or os.environ["HDXJOBS_TEST_INI"]), *words]


def settings(folder: Path, options: Mapping[str, str]) -> Path:
    """A file of the tests' settings and some more."""
    base, path = Path(os.environ["HDXJOBS_TEST_INI"]), folder / "settings.ini"
    lines = "".join(f"{key} = {value}\n" for key, value in options.items())
    path.write_text(f"[app:main]\nuse = config:{base}\n{lines}\n{logging_of(base)}")
    return path


@contextmanager
def worker(*options: str, ini: Path | None = None, clock_h: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process group of its own, ended with all it started.

    :param ini: its settings, if not those of the tests
    """
    words = command("jobs", "worker", *options, "geo_q", ini=ini, clock_h=clock_h)
    with subprocess.Popen(
        words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
        command("hdxjobs", "sweep", clock_h=clock_h), check=True, capture_output=True, timeout=DEADLINE_S
    )
