"""Moments that chance seldom meets: an import stands still at a certain step, and something happens.

They come before the publishers, one after the other on a quiet site.  What must hold in the end is what the
checks find; some moments look for themselves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

import requests

from devstack.chaos import family, files, imports, scene
from devstack.chaos.grounds import WORKERS, Grounds
from devstack.chaos.imports import Import, await_
from devstack.chaos.publishers import Notes
from devstack.own_site import until

#: Marks of these files; the publishers' are smaller.
FIRST_MARK = 900_000
#: Marks of files beside the one of a moment.
MORE_MARKS = 910_000
#: Files that wait behind an import when Redis loses its queues.
QUEUED = 50
#: How often three files come at once, in a short run and in one of more minutes than that.
ROUNDS, MORE_ROUNDS, SHORT_MINUTES = 5, 20, 3
#: Seconds that are long enough for a newer import to come to the lock of the one before.
MOMENT_S = 1.5
#: Seconds in which the sweep comes.
CLEARED_S = 3
#: Seconds after which nobody may see what was made private.
SEEN_S = 2

#: The locks of imports have numbers of 64 bits; the gates' are small.
ROB = """
SELECT l.pid, pg_terminate_backend(l.pid)
FROM pg_locks AS l
INNER JOIN pg_database AS d ON l.database = d.oid
WHERE d.datname = %s AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint <> 0
"""
#: Not counted are those taken back from workers whose silence was long only by the run's own impatience.
BEGUN_TWICE = "SELECT count(*) FROM hdxjobs_preview WHERE package_id = %s AND resource_id <> %s AND attempt - deaths > 1"
LAYERS = "SELECT layer_id FROM hdxjobs.layer WHERE resource_id = %s"

#: Something that happens to an import, which begins within it.
Moment = Callable[[Import], None]


class NotSoError(Exception):
    """What must hold at the end of a moment does not."""


def overtaken(made: Import) -> None:
    """It loses its lock, a newer one is published, and it wakes up: it must not take the newer one's place.

    Nor is its table gone by then: the sweep is late.
    """
    with made.grounds.without_sweep():
        with imports.published(made):
            made.grounds.cut(ROB)
            made.ask_again()
            await_(lambda: made.is_ready(2))
        await_(partial(scene.is_quiet, made.grounds))


def followed(made: Import) -> None:
    """A newer one is claimed meanwhile: it must wait for this one's end."""
    with imports.published(made):
        made.ask_again()
        await_(lambda: made.row[:2] == (2, "running"))
        time.sleep(MOMENT_S)


def replaced_by_a_broken_file(made: Import) -> None:
    """It dies with its layers loaded, and nobody will ever publish or make them again."""
    with imports.published(made) as horse:
        made.replace(files.broken(made.mark + 1))
        os.kill(horse.parent, signal.SIGKILL)


def late_to_fail(made: Import) -> None:
    """Its file is broken; before it sees that, it loses its lock, and a good one is published."""
    made.file = files.broken(made.mark)
    with imports.checked(made):
        made.grounds.cut(ROB)
        made.replace(files.short(made.mark + 1))
        await_(lambda: made.is_ready(2))


def deleted(made: Import) -> None:
    """No layer may appear when the import goes on."""
    made.grounds.call("resource_delete", id=made.resource_id)
    _cleared(made)


def buried(made: Import) -> None:
    """It is deleted before it is published, and the sweep, which could not drop its table, has given up."""
    with imports.published(made):
        made.grounds.call("resource_delete", id=made.resource_id)
        await_(lambda: made.row[3])


def purged(made: Import) -> None:
    made.grounds.call("dataset_purge", id=made.dataset)
    _cleared(made)


def _cleared(made: Import) -> None:
    """By the sweep, unless it has to wait for the import itself."""
    with suppress(TimeoutError):
        until(lambda: made.row[3], seconds=CLEARED_S)


def made_private(made: Import) -> None:
    """What appears when it goes on is nobody's to see, and what was there is not either."""
    made.grounds.call("package_patch", id=made.dataset, private=True)
    end = time.monotonic() + SEEN_S
    for (layer_id,) in made.grounds.ask_map(LAYERS, [made.resource_id]):
        address = f"{made.grounds.url}/hdxjobs/tiles/{layer_id}.json"
        is_late = False
        while requests.get(address, timeout=60).ok:
            if is_late:
                raise NotSoError(f"layer {layer_id} is seen {SEEN_S} s after its dataset was made private")
            # Of the next request, which begins now.
            is_late = time.monotonic() > end


def _while(hold: imports.Hold, happens: Moment, made: Import) -> None:
    with hold(made):
        happens(made)


def bereft_of_its_worker(made: Import) -> None:
    """Its worker is killed: a frozen work horse must die too."""
    with imports.published(made) as horse:
        os.kill(horse.parent, signal.SIGKILL)
        _dies(horse, "work horse")


def bereft_of_its_horse(made: Import) -> None:
    """Its work horse is killed: a frozen reader must die too."""
    with imports.checked(made) as reader:
        os.kill(reader.parent, signal.SIGKILL)
        try:
            _dies(reader, "reader")
        finally:
            with suppress(ProcessLookupError):
                os.kill(reader.pid, signal.SIGKILL)


def _dies(process: family.Process, kind: str) -> None:
    """With its parent, by the kernel's hand: it is frozen."""
    await_(lambda: not family.is_there(process.parent))
    if family.is_alive(process):
        raise NotSoError(f"its {kind} lives on")


def robbed_of_its_queue(made: Import) -> None:
    """Fifty files wait behind it, and Redis comes back empty: each of them is made, and none twice."""
    grounds = made.grounds
    with imports.published(made):
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
    await_(partial(scene.is_quiet, grounds))
    ((twice,),) = grounds.ask_ckan(BEGUN_TWICE, [made.package_id, made.resource_id])
    if twice:
        raise NotSoError(f"{twice} of {QUEUED} files were begun twice")


def replaced_at_once(rounds: int, made: Import) -> None:
    """A long file and two short ones come within a second, again and again: the last one is shown."""
    made.begin()
    for round_ in range(1, rounds + 1):
        mark = MORE_MARKS + 1_000 + 10 * round_
        for file in (files.long(mark), files.short(mark + 1), files.short(mark + 2)):
            made.replace(file)
        await_(partial(made.is_ready, 1 + 3 * round_))


def all_of_them(minutes: float) -> dict[str, Moment]:
    """By what happens to an import.

    :param minutes: that the whole run takes
    """
    rounds = ROUNDS if minutes <= SHORT_MINUTES else MORE_ROUNDS
    withdrawn: dict[str, Moment] = {
        f"{name} while it is {hold.__name__}": partial(_while, hold, happens)
        for hold in HOLDS
        for name, happens in WITHDRAWALS.items()
    }
    return {
        "overtaken": overtaken,
        "followed": followed,
        "replaced by a broken file": replaced_by_a_broken_file,
        "late to fail": late_to_fail,
        "buried": buried,
        **withdrawn,
        "bereft of its worker": bereft_of_its_worker,
        "bereft of its horse": bereft_of_its_horse,
        "robbed of its queue": robbed_of_its_queue,
        "replaced at once": partial(replaced_at_once, rounds),
    }


HOLDS: tuple[imports.Hold, ...] = (
    imports.fetched,
    imports.checked,
    imports.loaded,
    imports.published,
    imports.prepared,
)
WITHDRAWALS: dict[str, Moment] = {"deleted": deleted, "purged": purged, "made private": made_private}


def run(
    grounds: Grounds, notes: Notes, say: Callable[[str], None], *, minutes: float, only: Collection[str] = ()
) -> None:
    """All of them, or only some; one that does not come is noted."""
    for number, (name, moment) in enumerate(all_of_them(minutes).items()):
        if name not in (only or (name,)):
            continue
        say(f"an import is {name}")
        try:
            await_(partial(scene.is_quiet, grounds))
            moment(Import(grounds, FIRST_MARK + 10 * number, linked=name.endswith("fetched")))
        except (NotSoError, TimeoutError, ProcessLookupError, requests.RequestException) as error:
            notes.moments[name] = f"an import {name}: {error}"
        else:
            notes.moments[name] = None
