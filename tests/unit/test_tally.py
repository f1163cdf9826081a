"""Counting tiles: nothing is lost, memory is bounded, quantiles are near the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ckanext.hdxjobs.geopreview.tally import BOUNDS_MS, REST, Counts, Tally, together

LAYER, OTHER = "a" * 20, "b" * 20


def counts(*durations_ms: float, zoom: int = 0, source: str = "live", sent_bytes: int = 100) -> Counts:
    made = Counts()
    for number, ms in enumerate(durations_ms):
        made.add((zoom, number, 0), source, ms, sent_bytes)
    return made


def test_tiles_are_told_apart_by_layer_and_zoom() -> None:
    tally = Tally()
    tally.note(LAYER, (3, 1, 2), "stored", 0.5, 1000)
    tally.note(LAYER, (4, 1, 2), "live", 8.0, 2000)
    tally.note(OTHER, (3, 1, 2), "live", 8.0, 2000)

    taken = tally.take()

    assert {pair: one.by_source for pair, one in taken.items()} == {
        (LAYER, 3): {"stored": 1},
        (LAYER, 4): {"live": 1},
        (OTHER, 3): {"live": 1},
    }


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Python changes from thread to thread as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def test_eight_threads_that_note_at_the_same_time_lose_nothing(restless_threads: None) -> None:
    tally = Tally()
    taken = []

    def note() -> None:
        for number in range(10_000):
            tally.note(LAYER, (0, 0, 0), "stored", 1.0, 10)
            if number % 1000 == 0:
                taken.append(tally.take())

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(note) for _ in range(8)]:
            done.result()

    total = together(one for batch in [*taken, tally.take()] for one in batch.values())
    assert (total.asked, sum(total.histogram), total.sent_bytes) == (80_000, 80_000, 800_000)


def test_what_is_taken_is_taken_once() -> None:
    tally = Tally()
    tally.note(LAYER, (0, 0, 0), "stored", 1.0, 10)
    tally.take()

    assert tally.take() == {}


def test_what_is_given_back_is_added_to_what_came_meanwhile() -> None:
    tally = Tally()
    tally.note(LAYER, (2, 0, 0), "stored", 1.0, 10)
    taken = tally.take()
    tally.note(LAYER, (2, 3, 3), "live", 30.0, 5)
    tally.give_back(taken)

    figures = tally.take()[LAYER, 2].figures()
    assert (figures.by_source, figures.slowest, figures.largest) == (
        {"live": 1, "stored": 1},
        (2, 3, 3),
        (2, 0, 0),
    )


def test_layers_beyond_the_bound_are_counted_as_one() -> None:
    tally = Tally(max_pairs=2)
    for number in range(5):
        tally.note(f"{number:020x}", (7, 0, 0), "stored", 1.0, 10)

    taken = tally.take()

    assert {pair: one.asked for pair, one in taken.items()} == {
        ("0" * 20, 7): 1,
        (f"{1:020x}", 7): 1,
        (REST, 7): 3,
    }


def test_what_is_given_back_keeps_to_the_bound_too() -> None:
    tally, full = Tally(max_pairs=2), Tally(max_pairs=50)
    for number in range(50):
        full.note(f"{number:020x}", (7, 0, 0), "stored", 1.0, 10)
    tally.give_back(full.take())

    taken = tally.take()
    assert len(taken) == 3
    assert together(taken.values()).asked == 50


def test_a_forked_process_begins_with_nothing() -> None:
    tally = Tally()
    tally.note(LAYER, (0, 0, 0), "stored", 1.0, 10)
    with tally._lock:
        tally.begin_anew()

        # The lock of a thread that is not in the child must not stop it.
        tally.note(OTHER, (0, 0, 0), "stored", 1.0, 10)

    assert list(tally.take()) == [(OTHER, 0)]


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_off_by_less_than_its_bucket(share: float) -> None:
    durations = [0.5 * number for number in range(1, 401)]
    truth = durations[int(share * 400) - 1]

    guess = counts(*durations).quantile_ms(share)

    bucket = next(index for index, bound in enumerate(BOUNDS_MS) if truth <= bound)
    assert BOUNDS_MS[bucket - 1] <= guess <= BOUNDS_MS[bucket]


def test_evenly_spread_durations_give_their_median() -> None:
    assert counts(*[0.1 * number for number in range(1, 1001)]).quantile_ms(0.5) == pytest.approx(50, abs=0.2)


def test_a_quantile_is_not_above_the_slowest_tile() -> None:
    assert counts(60.0, 60.0, 60.0).quantile_ms(0.99) <= 60


def test_beyond_the_last_bound_a_quantile_lies_below_the_slowest_tile() -> None:
    assert 1000 <= counts(*[1500.0] * 10, 4000.0).quantile_ms(0.99) <= 4000


def test_a_bound_belongs_to_its_bucket() -> None:
    assert counts(1.0, 1.1, 1000.0, 1000.1).histogram == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_no_tile_has_no_quantile_and_no_place() -> None:
    figures = Counts().figures()

    assert (figures.asked, figures.p99_ms, figures.slowest, figures.ready_share) == (0, 0.0, None, 0.0)


def test_the_slowest_and_the_largest_tile_are_told_with_their_places() -> None:
    made = Counts()
    made.add((5, 1, 1), "live", 40.0, 10)
    made.add((5, 2, 2), "live", 90.0, 300)
    made.add((5, 3, 3), "stored", 1.0, 900)

    figures = made.figures()

    assert (figures.max_ms, figures.slowest) == (90.0, (5, 2, 2))
    assert (figures.max_bytes, figures.largest) == (900, (5, 3, 3))


def test_stored_tiles_and_those_in_memory_are_ready() -> None:
    made = together([counts(1.0, source=source) for source in ("stored", "memory", "live", "busy")])

    assert made.figures().ready_share == 0.5


def test_counts_of_processes_add_up() -> None:
    total = together([counts(1.0, 3.0), counts(700.0, sent_bytes=50)])

    assert (total.asked, total.ms, total.sent_bytes, total.peak_ms[0]) == (3, 704.0, 250, 700.0)
