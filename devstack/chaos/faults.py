"""What goes wrong: each fault is there for seconds and is undone."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from devstack.chaos import cluster, disk, family
from devstack.chaos.grounds import MAP_DATABASE, SWEEP, WORKERS, Grounds

#: Seconds that a fault lasts, and between two.
LASTS_S, PAUSE_S = (0.5, 3.0), (0.2, 2.0)

#: Seconds in which a process that is to be killed is waited for.
PREY_S = 10

CONNECTED = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
CUT = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"

#: A fault says what it did and waits for the time given to it; then it is undone.
Fault = Callable[[Grounds, random.Random], Iterator[str]]


class Trouble(threading.Thread):
    """One fault after the other until it is told to stop.

    :ivar told: what happened, with the second it began
    """

    def __init__(
        self, seed: int, grounds: Grounds, over: threading.Event, say: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self._chance = random.Random(f"{seed} faults")
        self._grounds, self._over, self._say = grounds, over, say
        self.count = 0
        self.broken: str | None = None

    def run(self) -> None:
        deck: list[Fault] = []
        while not self._over.wait(self._chance.uniform(*PAUSE_S)):
            if not deck:
                deck = list(FAULTS)
                self._chance.shuffle(deck)
            try:
                self._suffer(deck.pop())
            except Exception as error:
                self.broken = f"{type(error).__name__}: {error}"
                raise

    def _suffer(self, fault: Fault) -> None:
        lasts_s = self._chance.uniform(*LASTS_S)
        with contextmanager(fault)(self._grounds, random.Random(self._chance.random())) as what:
            self._say(what)
            self.count += 1
            if fault not in AT_ONCE:
                self._over.wait(lasts_s)


def worker_killed(grounds: Grounds, chance: random.Random) -> Iterator[str]:
    """Rather one at work: its horse must die with it; RQ's scheduler lives on."""
    horse = _prey(grounds.busy_horses, chance, within_s=0.3)
    workers = {grounds.pid(name): name for name in WORKERS}
    name = workers.get(horse.parent if horse else 0) or chance.choice(WORKERS)
    grounds.signal(name, signal.SIGKILL)
    yield f"{name} killed"


def horse_killed(grounds: Grounds, chance: random.Random) -> Iterator[str]:
    horse = _prey(grounds.busy_horses, chance)
    yield _killed("a work horse", horse)


def reader_killed(grounds: Grounds, chance: random.Random) -> Iterator[str]:
    def readers() -> list[family.Process]:
        return family.children(horse.pid for horse in grounds.horses())

    yield _killed("a reader", _prey(readers, chance, within_s=0.05))


def horse_frozen(grounds: Grounds, chance: random.Random) -> Iterator[str]:
    """Sometimes long enough to be taken for dead: then it wakes up as one too many."""
    horse = _prey(grounds.busy_horses, chance)
    if horse is None:
        yield "no work horse to freeze"
        return
    _send(horse, signal.SIGSTOP)
    yield f"work horse {horse.pid} frozen"
    time.sleep(chance.choice((0, 9, 9)))
    _send(horse, signal.SIGCONT)


def sweep_killed(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.signal(SWEEP, signal.SIGKILL)
    yield "the sweep killed"


def redis_frozen(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.signal("redis", signal.SIGSTOP)
    yield "Redis frozen"
    grounds.signal("redis", signal.SIGCONT)


def redis_emptied(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.kill("redis")
    yield "Redis killed; it comes back empty"
    grounds.start_redis()


def map_cut(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.cut(CUT)
    yield "connections to the map database cut"


def map_read_only(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.ask_server(f"ALTER DATABASE {MAP_DATABASE} SET default_transaction_read_only = on")
    yield "map database read-only"
    grounds.ask_server(f"ALTER DATABASE {MAP_DATABASE} RESET default_transaction_read_only")


def map_refusing(grounds: Grounds, _: random.Random) -> Iterator[str]:
    grounds.ask_server(f"ALTER DATABASE {MAP_DATABASE} ALLOW_CONNECTIONS false")
    grounds.cut(CUT)
    yield "map database refuses connections"
    grounds.ask_server(f"ALTER DATABASE {MAP_DATABASE} ALLOW_CONNECTIONS true")


def map_frozen(grounds: Grounds, _: random.Random) -> Iterator[str]:
    """Whoever is connected waits, and nothing tells them why."""
    frozen = [family.Process(pid, 0, 0) for (pid,) in grounds.ask_server(CONNECTED, [MAP_DATABASE])]
    for process in frozen:
        _send(process, signal.SIGSTOP)
    yield f"{len(frozen)} connections to the map database frozen"
    for process in frozen:
        _send(process, signal.SIGCONT)


def map_disk_full(grounds: Grounds, _: random.Random) -> Iterator[str]:
    if not grounds.has_disk:
        yield "no disk of the map database's own to fill; that needs root"
        return
    with disk.full():
        yield "the map database's disk is full"


def postgres_stopped(grounds: Grounds, chance: random.Random) -> Iterator[str]:
    how = chance.choice((cluster.IMMEDIATE, cluster.FAST))
    with grounds.postgres_stopped(how):
        yield f"PostgreSQL stopped as a whole by {how.name}"


FAULTS: tuple[Fault, ...] = (
    worker_killed,
    horse_killed,
    horse_killed,
    reader_killed,
    horse_frozen,
    horse_frozen,
    sweep_killed,
    redis_frozen,
    redis_emptied,
    map_cut,
    map_read_only,
    map_refusing,
    map_frozen,
    map_disk_full,
    postgres_stopped,
)
#: There is nothing to undo.
AT_ONCE = frozenset({worker_killed, horse_killed, reader_killed, sweep_killed, map_cut})


def _prey(
    find: Callable[[], list[family.Process]], chance: random.Random, *, within_s: float = 0.8
) -> family.Process | None:
    """A process at a random moment of its life; None when none was born in time."""
    end = time.monotonic() + PREY_S
    while not (found := find()):
        if time.monotonic() > end:
            return None
        time.sleep(0.05)
    process = chance.choice(found)
    time.sleep(chance.uniform(0, within_s))
    return process


def _killed(kind: str, process: family.Process | None) -> str:
    if process is None:
        return f"no {kind.removeprefix('a ')} to kill"
    _send(process, signal.SIGKILL)
    return f"{kind} killed"


def _send(process: family.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
