"""The run: publishers at work and faults, then quiet, then the checks."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import psycopg2

from devstack.chaos import breaks, checks, family, files, moments, scene
from devstack.chaos.faults import Trouble
from devstack.chaos.grounds import FOLDER, Grounds, made
from devstack.chaos.publishers import Notes, Publisher
from devstack.steps import wait_for

PUBLISHERS = 3
#: Seconds in which all must have found its end once the faults are over.
SETTLING_S = 1200
#: And without a guard, where some never do.
LACKING_S = 25
#: Between two looks at what runs; an orphan that is met twice was not killed with its parent.
LOOK_EVERY_S = 0.5
FIRST = "SELECT 1 FROM hdxjobs_preview WHERE state = 'ready' LIMIT 1"
#: Ends of a good file that faults can bring about: they are named, and asking again makes it ready.
GIVEN_UP = frozenset({"internal", "reader-crashed", "too-much-memory"})


class Log:
    """Lines with the second of the run."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)


class Watch(threading.Thread):
    """Lets time pass quickly, and notes what can only be seen meanwhile."""

    def __init__(self, grounds: Grounds) -> None:
        super().__init__(daemon=True)
        self._grounds = grounds
        self.over = threading.Event()
        self.broken: str | None = None
        self._listed: dict[str, set[str]] = defaultdict(set)
        self._orphans: dict[int, str] = {}
        self._commands: set[str] = set()

    def run(self) -> None:
        lonely: set[int] = set()
        while not self.over.wait(LOOK_EVERY_S):
            before, lonely = lonely, {orphan.pid for orphan in self._grounds.orphans()}
            self._orphans |= {pid: family.command(pid) for pid in lonely & before}
            self._commands |= {family.command(each.pid) for each in family.descendants()}
            began = time.monotonic()
            try:
                self._look_at_the_ledger()
            except psycopg2.Error as error:
                if not self._grounds.was_away(since=began):
                    self.broken = f"{type(error).__name__}: {error}"
                    raise

    def _look_at_the_ledger(self) -> None:
        self._grounds.hurry()
        for resource_id, layers in self._grounds.ask_ckan("SELECT resource_id, layers FROM hdxjobs_preview"):
            self._listed[resource_id].update(layer["layer_id"] for layer in layers)

    def sights(self) -> scene.Sights:
        listed = {resource_id: frozenset(layers) for resource_id, layers in self._listed.items()}
        return scene.Sights(listed, self._orphans, frozenset(self._commands))


@dataclass
class Run:
    """A site, what is done to it, and who tells of it."""

    grounds: Grounds
    notes: Notes = field(default_factory=Notes)
    log: Log = field(default_factory=Log)

    def witness(self, trouble: Callable[[], str | None], *, settling_s: float) -> Counter[str]:
        """How often each check was violated in the end.

        :param trouble: what happens; it tells what broke it off
        """
        roles = scene.roles(self.grounds)
        watch = Watch(self.grounds)
        watch.start()
        broken = trouble()
        self._settle(settling_s)
        watch.over.set()
        watch.join()
        self.grounds.end_workers()
        self.grounds.last_sweep()
        wrong = self._report(scene.look(self.grounds, self.notes, roles, watch.sights()))
        if broken or watch.broken:
            self.log(f"the run broke off: {broken or watch.broken}")
            wrong["the run itself"] += 1
        return wrong

    def moments(self, minutes: float, only: Collection[str] = ()) -> None:
        moments.run(self.grounds, self.notes, self.log, minutes=minutes, only=only)

    def faults(self, seconds: float, seed: int) -> str | None:
        """What broke them off, if anything did."""
        over = threading.Event()
        publishers = [
            Publisher(number, seed, self.grounds, self.notes, over) for number in range(1, PUBLISHERS + 1)
        ]
        trouble = Trouble(seed, self.grounds, over, self.log)
        for publisher in publishers:
            publisher.start()
        wait_for(lambda: bool(self.grounds.ask_ckan(FIRST)), seconds=SETTLING_S, every=0.5)
        self.log("the first map is there, so that faults meet work")
        trouble.start()
        time.sleep(seconds)
        over.set()
        for thread in (*publishers, trouble):
            thread.join()
        done = ", ".join(f"{action}: {count}" for action, count in self.notes.did.most_common())
        self.log(f"{trouble.count} faults, all undone; publishers did {done}")
        self.log(f"{self.notes.put_off} requests were refused for want of CKAN's database, and made again")
        return trouble.broken

    def _settle(self, seconds: float) -> None:
        """Wait for an end of everything; what was given up because of the faults is asked for once more."""
        self._wait(seconds)
        again = [
            resource
            for resource in scene.resources(self.grounds)
            if resource.state == "failed" and resource.error_code in GIVEN_UP and _is_good(resource)
        ]
        for resource in again:
            self.grounds.call("hdx_geopreview_submit", id=resource.id, force=True)
        if again:
            self._wait(seconds)
        states = Counter(resource.state for resource in scene.resources(self.grounds))
        told = ", ".join(f"{state}: {count}" for state, count in states.items())
        self.log(f"all is quiet; given up for their lost workers and asked for again: {len(again)}; {told}")

    def _wait(self, seconds: float) -> None:
        """Until nothing waits and nobody works, as long as there is hope."""
        wait_for(lambda: scene.is_quiet(self.grounds), seconds=seconds, every=1)

    def _report(self, found: scene.Scene) -> Counter[str]:
        wrong: Counter[str] = Counter()
        for finding in checks.findings(found):
            verdict = f"{len(finding.wrong)} WRONG" if finding.wrong else "ok"
            self.log(f"{finding.looked_at:6} {finding.title}: {verdict}")
            for line in finding.wrong:
                print(f"             {line}", flush=True)
            if finding.wrong:
                wrong[finding.title] = len(finding.wrong)
        return wrong


def run(minutes: float, seed: int) -> bool:
    """True if nothing was lost.

    :param minutes: of moments and faults; 0: moments only
    """
    with made() as grounds:
        this = Run(grounds)
        this.log(f"{minutes * 60:.0f} s of faults with seed {seed}; logs in {FOLDER}")

        def trouble() -> str | None:
            began = time.monotonic()
            this.moments(minutes)
            left_s = began + minutes * 60 - time.monotonic()
            return this.faults(max(minutes * 30, left_s), seed) if minutes else None

        wrong = this.witness(trouble, settling_s=SETTLING_S)
        this.log(f"{wrong.total()} violations; the logs are in {FOLDER}" if wrong else "nothing was lost")
    return not wrong


def run_without(guard: str) -> bool:
    """True if a check names what comes of it."""
    lacking = breaks.BREAKS[guard]
    with made(guard) as grounds:
        this = Run(grounds)
        wrong = this.witness(lambda: this.moments(0, only=lacking.moments), settling_s=LACKING_S)
    named = wrong[lacking.check] > 0
    this.log(f"without {guard}: {'named' if named else 'NOT named'} by: {lacking.check}")
    return named


def _is_good(resource: scene.Resource) -> bool:
    content = files.content_of(resource.url)
    return content is not None and content.count > 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos")
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="how long there are faults; 0: certain moments only"
    )
    parser.add_argument("--seed", type=int, help="repeats the actions and faults of a run")
    parser.add_argument(
        "--break",
        dest="guard",
        choices=[*breaks.BREAKS, "all"],
        help="do without a guard; a check must name it",
    )
    options = parser.parse_args(arguments)
    # So that whoever ends the run ends its programs too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    if options.guard is None:
        return 0 if run(options.minutes, seed) else 1
    guards = list(breaks.BREAKS) if options.guard == "all" else [options.guard]
    unnamed = [guard for guard in guards if not run_without(guard)]
    return 1 if unnamed else 0
