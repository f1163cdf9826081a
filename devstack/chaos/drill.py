"""The run: publishers at work and faults, then quiet, then the checks."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict

from devstack.chaos import checks, family, faults, files, moments, scene
from devstack.chaos.faults import Trouble
from devstack.chaos.grounds import FOLDER, Grounds, made
from devstack.chaos.publishers import Notes, Publisher
from devstack.steps import say, wait_for

PUBLISHERS = 3
#: Seconds in which all must have found its end once the faults are over.
SETTLING_S = 180
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
        self._listed: dict[str, set[str]] = defaultdict(set)
        self._orphans: dict[int, str] = {}
        self._commands: set[str] = set()

    def run(self) -> None:
        lonely: set[int] = set()
        while not self.over.wait(LOOK_EVERY_S):
            before, lonely = lonely, {orphan.pid for orphan in self._grounds.orphans()}
            self._orphans |= {pid: family.command(pid) for pid in lonely & before}
            self._commands |= {family.command(each.pid) for each in family.descendants()}
            self._grounds.hurry()
            for resource_id, layers in self._grounds.ask_ckan(
                "SELECT resource_id, layers FROM hdxjobs_preview"
            ):
                self._listed[resource_id].update(layer["layer_id"] for layer in layers)

    def sights(self) -> scene.Sights:
        listed = {resource_id: frozenset(layers) for resource_id, layers in self._listed.items()}
        return scene.Sights(listed, self._orphans, frozenset(self._commands))


def run(minutes: float, seed: int) -> bool:
    """True if nothing was lost."""
    with made() as grounds:
        log = Log()
        log(f"{minutes * 60:.0f} s of faults with seed {seed}; logs in {FOLDER}")
        roles = scene.roles()
        watch = Watch(grounds)
        watch.start()
        notes, trouble = _make_trouble(grounds, minutes, seed, log)
        _settle(grounds, log)
        watch.over.set()
        watch.join()
        grounds.end_workers()
        grounds.sweep()
        ok = _report(scene.look(grounds, notes, roles, watch.sights()), log)
        if trouble.broken:
            say(f"The faults broke off: {trouble.broken}")
        return ok and not trouble.broken


def _make_trouble(grounds: Grounds, minutes: float, seed: int, log: Log) -> tuple[Notes, Trouble]:
    began, over, notes = time.monotonic(), threading.Event(), Notes()
    moments.run(grounds, notes, log)
    publishers = [Publisher(number, seed, grounds, notes, over) for number in range(1, PUBLISHERS + 1)]
    trouble = faults.Trouble(seed, grounds, over, log)
    for publisher in publishers:
        publisher.start()
    wait_for(lambda: bool(grounds.ask_ckan(FIRST)), seconds=SETTLING_S, every=0.5)
    log("the first map is there, so that faults meet work")
    trouble.start()
    time.sleep(max(minutes * 30, began + minutes * 60 - time.monotonic()))
    over.set()
    for thread in (*publishers, trouble):
        thread.join()
    done = ", ".join(f"{action}: {count}" for action, count in notes.did.most_common())
    log(f"{trouble.count} faults, all undone; publishers did {done}")
    return notes, trouble


def _settle(grounds: Grounds, log: Log) -> None:
    """Wait for an end of everything; what was given up because of the faults is asked for once more."""
    _wait(grounds)
    again = [
        resource
        for resource in scene.resources(grounds)
        if resource.state == "failed" and resource.error_code in GIVEN_UP and _is_good(resource)
    ]
    for resource in again:
        grounds.call("hdx_geopreview_submit", id=resource.id, force=True)
    _wait(grounds)
    states = Counter(resource.state for resource in scene.resources(grounds))
    told = ", ".join(f"{state}: {count}" for state, count in states.items())
    log(f"all is quiet; given up for their lost workers and asked for again: {len(again)}; {told}")


def _wait(grounds: Grounds) -> None:
    """Until nothing waits and nobody works, as long as there is hope."""
    wait_for(lambda: scene.is_quiet(grounds), seconds=SETTLING_S, every=1)


def _is_good(resource: scene.Resource) -> bool:
    content = files.content_of(resource.url)
    return content is not None and content.count > 0


def _report(found: scene.Scene, log: Log) -> bool:
    wrong = 0
    for finding in checks.findings(found):
        verdict = f"{len(finding.wrong)} WRONG" if finding.wrong else "ok"
        log(f"{finding.looked_at:6} {finding.title}: {verdict}")
        for line in finding.wrong:
            print(f"             {line}", flush=True)
        wrong += len(finding.wrong)
    log("nothing was lost" if not wrong else f"{wrong} violations; the logs are in {FOLDER}")
    return not wrong


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long there are faults")
    parser.add_argument("--seed", type=int, help="repeats the actions and faults of a run")
    options = parser.parse_args(arguments)
    # So that whoever ends the run ends its programs too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    return 0 if run(options.minutes, seed) else 1
