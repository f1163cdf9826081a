"""What is remembered for a moment, and no longer."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.recent import Recent


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> Recent[str]:
    return Recent(ttl_s=1.0, max_entries=2, clock=clock)


def test_an_answer_is_believed_for_its_time(recent: Recent[str], clock: Clock) -> None:
    recent.keep("key", "yes", asked_at_s=recent.now_s())
    clock.now_s += 1.0
    assert recent.find("key") == "yes"


def test_an_old_answer_is_not_believed(recent: Recent[str], clock: Clock) -> None:
    recent.keep("key", "yes", asked_at_s=recent.now_s())
    clock.now_s += 1.001
    assert recent.find("key") is None


def test_the_time_counts_from_the_question_however_long_the_answer_took(
    recent: Recent[str], clock: Clock
) -> None:
    asked_at_s = recent.now_s()
    clock.now_s += 5
    recent.keep("key", "yes", asked_at_s=asked_at_s)
    assert recent.find("key") is None


def test_what_is_not_so_any_more_is_dropped_at_once(recent: Recent[str]) -> None:
    recent.keep("key", "yes", asked_at_s=recent.now_s())
    recent.drop("key")
    recent.drop("never known")
    assert recent.find("key") is None


def test_the_least_used_makes_room(recent: Recent[str]) -> None:
    for key in ("first", "second"):
        recent.keep(key, key, asked_at_s=recent.now_s())
    recent.find("first")
    recent.keep("third", "third", asked_at_s=recent.now_s())
    assert [recent.find(key) for key in ("first", "second", "third")] == ["first", None, "third"]


def test_all_can_be_forgotten(recent: Recent[str]) -> None:
    recent.keep("key", "yes", asked_at_s=recent.now_s())
    recent.forget()
    assert recent.find("key") is None
