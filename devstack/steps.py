"""A step: one line with its seconds, or a failure that says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.paths import LOGS, ROOT

SETUP_LOG = LOGS / "setup.log"
LAST_LINES = 15


class StepError(Exception):
    """A step that did not work.

    :ivar why: what happened, a line or a few
    :ivar log: where to read more
    :ivar advice: what the reader can do
    """

    def __init__(self, why: str, *, log: Path | None = None, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.log = log
        self.advice = advice


@dataclass
class Step:
    """What a running step may add to its line."""

    title: str
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def line(self, seconds: float) -> str:
        return f"{seconds:7.1f} s  {self.title}" + (f": {', '.join(self.notes)}" if self.notes else "")


def say(text: str = "") -> None:
    """Write a line for the person at the terminal; standard output is kept for answers."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Run the body as a step and print its line; a StepError within is reported and ends the program."""
    current = Step(title)
    began = time.monotonic()
    live = sys.stderr.isatty()
    if live:
        print(f"     …    {title}", end="", file=sys.stderr, flush=True)
    try:
        yield current
    except StepError as failure:
        say(("\r\033[K" if live else "") + report(current, time.monotonic() - began, failure))
        raise SystemExit(1) from failure
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on from here")
        raise SystemExit(130) from None
    say(("\r\033[K" if live else "") + current.line(time.monotonic() - began))


def report(current: Step, seconds: float, failure: StepError) -> str:
    """What is shown of a failed step."""
    why = "\n         ".join(failure.why.strip().splitlines()) or "it gave no reason"
    lines = ["", f"{seconds:7.1f} s  {current.title}: FAILED", f"  why:   {why}"]
    if failure.log:
        lines.append(f"  log:   {failure.log}")
    lines.append(f"  do:    {failure.advice or 'mend the cause and run the same command again'}")
    return "\n".join(lines)


def tail(log: Path, lines: int = LAST_LINES) -> str:
    """The last lines of a log, or nothing if there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def run(
    command: Sequence[str | Path],
    *,
    env: dict[str, str] | None = None,
    user: str | None = None,
    advice: str = "",
) -> str:
    """Run a command, keep its output in the set-up log and return it.

    :param user: another system user to run as; needs root
    :raises StepError: with the last lines of the output
    """
    arguments = [str(part) for part in command]
    if user:
        arguments = ["runuser", "-u", user, "--", *arguments]
    try:
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as exc:
        raise StepError(f"{arguments[0]}: {exc.strerror}", advice=advice) from exc
    with SETUP_LOG.open("a") as log:
        log.write(f"$ {' '.join(arguments[:4])}\n{done.stdout}")
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-LAST_LINES:])
        raise StepError(last or f"exit code {done.returncode}", log=SETUP_LOG, advice=advice)
    return done.stdout


def wait_for(ready: Callable[[], bool], *, seconds: float, every: float = 0.2) -> bool:
    """Ask until it says yes; False when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(every)
    return False
