"""Moments that chance seldom meets: an import stands still at a certain step, and something happens.

They come before the publishers, one after the other on a quiet site.  Nothing is asserted here: what must
hold is what the checks find at the end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import requests

from devstack.chaos import family, files, scene
from devstack.chaos.grounds import ORGANIZATION, WORKERS, Grounds
from devstack.chaos.publishers import Notes
from devstack.own_site import until

#: Marks of these files; the publishers' are smaller.
FIRST_MARK = 900_000
#: Marks of files beside the one of a moment.
MORE_MARKS = 910_000
#: Files that wait behind an import when Redis loses its queues; and how often three files come at once.
QUEUED, ROUNDS = 50, 5
#: Seconds that are long enough for the kernel to kill, and for a look at what lives.
MOMENT_S = 1.5
#: Seconds in which a moment comes on the busiest machine.
PATIENCE_S = 150

ROW = "SELECT generation, state, phase, retired_at IS NOT NULL FROM hdxjobs_preview WHERE resource_id = %s"
#: The locks of imports have numbers of 64 bits; the gate's is small.
ROB = """
SELECT pg_terminate_backend(l.pid)
FROM pg_locks AS l
INNER JOIN pg_database AS d ON l.database = d.oid
WHERE d.datname = %s AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint <> 0
"""
BEGUN_TWICE = (
    "SELECT count(*) FROM hdxjobs_preview WHERE package_id = %s AND resource_id <> %s AND attempt > 1"
)


class NotSoError(Exception):
    """What must hold at the end of a moment does not."""


def _await(condition: Callable[[], bool]) -> None:
    until(condition, seconds=PATIENCE_S)


class _Import:
    """A file on its way, whose work horse can be held."""

    def __init__(self, grounds: Grounds, mark: int) -> None:
        self.grounds = grounds
        self.dataset = f"chaos-moment-{mark}"
        made = grounds.call("package_create", name=self.dataset, owner_org=ORGANIZATION)
        file = files.long(mark)
        self.package_id = str(made["id"])
        self.resource_id = self.beside(file)

    @property
    def row(self) -> tuple[int, str, str | None, bool]:
        """Generation, state, phase, and whether its tables are gone."""
        ((generation, state, phase, is_retired),) = self.grounds.ask_ckan(ROW, [self.resource_id])
        return generation, state, phase, is_retired

    def is_ready(self, generation: int) -> bool:
        return self.row[:2] == (generation, "ready")

    def horse(self) -> family.Process:
        return _first(self.grounds.busy_horses)

    @contextmanager
    def held_before_publishing(self) -> Iterator[family.Process]:
        """Its layers are loaded, and its work horse is frozen before it makes them the live ones."""
        with self.grounds.gate_shut():
            _await(lambda: self.row[2] == "publish")
            horse = self.horse()
            os.kill(horse.pid, signal.SIGSTOP)
        try:
            yield horse
        finally:
            with suppress(ProcessLookupError):
                os.kill(horse.pid, signal.SIGCONT)

    def beside(self, file: files.File) -> str:
        """One resource more in its dataset; its id."""
        return str(self.grounds.send("resource_create", file, package_id=self.package_id)["id"])

    def replace(self, file: files.File) -> None:
        self.grounds.send("resource_patch", file, id=self.resource_id)

    def ask_again(self) -> None:
        self.grounds.call("hdx_geopreview_submit", id=self.resource_id, force=True)


def overtaken(made: _Import) -> None:
    """It loses its lock, a newer one is published, and it wakes up: it must not take the newer one's place."""
    with made.held_before_publishing():
        made.grounds.cut(ROB)
        made.ask_again()
        _await(lambda: made.is_ready(2))


def followed(made: _Import) -> None:
    """A newer one is claimed meanwhile: it must wait for this one's end."""
    with made.held_before_publishing():
        made.ask_again()
        _await(lambda: made.row[:2] == (2, "running"))
        time.sleep(MOMENT_S)


def deleted(made: _Import) -> None:
    """Its resource is deleted and cleared away: no layer may appear when it wakes up."""
    with made.held_before_publishing():
        made.grounds.call("resource_delete", id=made.resource_id)
        _await(lambda: made.row[3])


def made_private(made: _Import) -> None:
    """Its dataset is made private: what appears when it wakes up is nobody's to see."""
    with made.held_before_publishing():
        made.grounds.call("package_patch", id=made.dataset, private=True)


def bereft_of_its_worker(made: _Import) -> None:
    """Its worker is killed: a frozen work horse must die too."""
    with made.held_before_publishing() as horse:
        os.kill(horse.parent, signal.SIGKILL)
        time.sleep(MOMENT_S)


def bereft_of_its_horse(made: _Import) -> None:
    """Its work horse is killed: a frozen reader must die too."""
    horse = made.horse()
    parser = _first(lambda: family.children([horse.pid]))
    os.kill(parser.pid, signal.SIGSTOP)
    os.kill(horse.pid, signal.SIGKILL)
    time.sleep(MOMENT_S)
    with suppress(ProcessLookupError):
        os.kill(parser.pid, signal.SIGKILL)


def robbed_of_its_queue(made: _Import) -> None:
    """Fifty files wait behind it, and Redis comes back empty: each of them is made, and none twice."""
    grounds = made.grounds
    with made.held_before_publishing():
        for name in WORKERS:
            grounds.signal(name, signal.SIGSTOP)
        try:
            for number in range(QUEUED):
                made.beside(files.short(MORE_MARKS + number))
            grounds.kill("redis")
            grounds.start_redis()
        finally:
            for name in WORKERS:
                grounds.signal(name, signal.SIGCONT)
    _await(partial(scene.is_quiet, grounds))
    ((twice,),) = grounds.ask_ckan(BEGUN_TWICE, [made.package_id, made.resource_id])
    if twice:
        raise NotSoError(f"{twice} of {QUEUED} files were begun twice")


def replaced_at_once(made: _Import) -> None:
    """A long file and two short ones come within a second, again and again: the last one is shown."""
    for round_ in range(1, ROUNDS + 1):
        mark = MORE_MARKS + 1_000 + 10 * round_
        for file in (files.long(mark), files.short(mark + 1), files.short(mark + 2)):
            made.replace(file)
        _await(partial(made.is_ready, 1 + 3 * round_))


def _first(look: Callable[[], list[family.Process]]) -> family.Process:
    """Of the processes that are waited for."""
    found: list[family.Process] = []

    def is_there() -> bool:
        found[:] = look()
        return bool(found)

    _await(is_there)
    return found[0]


MOMENTS = (
    overtaken,
    followed,
    deleted,
    made_private,
    bereft_of_its_worker,
    bereft_of_its_horse,
    robbed_of_its_queue,
    replaced_at_once,
)


def run(grounds: Grounds, notes: Notes, say: Callable[[str], None]) -> None:
    """All of them; one that does not come is noted."""
    for number, moment in enumerate(MOMENTS):
        name = moment.__name__.replace("_", " ")
        say(f"an import is {name}")
        try:
            _await(partial(scene.is_quiet, grounds))
            moment(_Import(grounds, FIRST_MARK + number))
        except (NotSoError, TimeoutError, ProcessLookupError, requests.RequestException) as error:
            notes.moments[name] = f"an import {name}: {error}"
        else:
            notes.moments[name] = None
