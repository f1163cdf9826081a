"""What is being made already is not made twice, and nobody waits for ever.  Threads meet, none sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ckanext.hdxjobs.geopreview.flights import Flights

WAIT_S = 10


class Key:
    """Counts who has looked it up: the hash is asked for under the lock, once by each that asks."""

    def __init__(self) -> None:
        self.looks = threading.Semaphore(0)

    def __hash__(self) -> int:
        self.looks.release()
        return 1

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.looks.acquire(timeout=WAIT_S)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def unneeded() -> str:
    pytest.fail("made twice")


def race(
    flights: Flights[str], threads: ThreadPoolExecutor, ending: Callable[[], str], others: Callable[[], str]
) -> list[Future[str]]:
    """Eight threads ask for the same; the first one's work ends when the other seven have asked."""
    key, begun, asked = Key(), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert asked.wait(WAIT_S)
        return ending()

    leader = threads.submit(flights.run, key, work)
    assert begun.wait(WAIT_S)
    followers = [threads.submit(flights.run, key, others) for _ in range(7)]
    key.wait(8)
    asked.set()
    return [leader, *followers]


def test_eight_that_ask_at_the_same_time_share_one_result(threads: ThreadPoolExecutor) -> None:
    answers = race(Flights(), threads, lambda: "tile", unneeded)
    assert [answer.result(WAIT_S) for answer in answers] == ["tile"] * 8


def test_an_error_is_shared_too(threads: ThreadPoolExecutor) -> None:
    def fail() -> str:
        raise ValueError

    answers = race(Flights(), threads, fail, unneeded)
    assert {type(answer.exception(WAIT_S)) for answer in answers} == {ValueError}


def test_those_who_waited_for_a_thread_that_ends_have_the_work_done_anew(threads: ThreadPoolExecutor) -> None:
    def end() -> str:
        raise SystemExit

    leader, *followers = race(Flights(), threads, end, lambda: "anew")
    assert isinstance(leader.exception(WAIT_S), SystemExit)
    assert [answer.result(WAIT_S) for answer in followers] == ["anew"] * 7


def test_other_work_does_not_wait(threads: ThreadPoolExecutor) -> None:
    flights: Flights[str] = Flights()
    begun, ended = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        return "slow" if ended.wait(WAIT_S) else "never ended"

    leader = threads.submit(flights.run, "one", slow)
    assert begun.wait(WAIT_S)
    assert threads.submit(flights.run, "other", lambda: "quick").result(WAIT_S) == "quick"
    ended.set()
    assert leader.result(WAIT_S) == "slow"


def test_nothing_is_kept_of_a_result() -> None:
    flights: Flights[str] = Flights()
    assert [flights.run("key", lambda: "old"), flights.run("key", lambda: "new")] == ["old", "new"]


def test_nothing_is_kept_of_an_error() -> None:
    flights: Flights[str] = Flights()
    with pytest.raises(ZeroDivisionError):
        flights.run("key", lambda: str(1 / 0))
    assert flights.run("key", lambda: "new") == "new"
