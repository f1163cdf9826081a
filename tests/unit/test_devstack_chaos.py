"""What the chaos run knows by itself: what is in a file, and which imports met."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ckanext.hdxjobs.geopreview import db
from devstack.chaos.breaks import BREAKS, GuardMovedError
from devstack.chaos.checks import CHECKS
from devstack.chaos.family import Process, freeze, has_begun, is_alive, thaw
from devstack.chaos.files import Content, content_of, make
from devstack.chaos.leaks import told
from devstack.chaos.moments import all_of_them
from devstack.chaos.overlaps import Cut, locked, overlaps, steps
from devstack.paths import ROOT

LINE = "2026-11-24 10:00:{second},000 INFO  [job] Preview of {resource}, generation {generation}: load took {took} s"


def log(second: int, took: float, *, resource: str = "r1", generation: int = 1) -> str:
    return LINE.format(second=f"{second:02}", took=f"{took:.2f}", resource=resource, generation=generation)


def test_a_files_name_tells_what_is_in_it() -> None:
    for mark in range(1, 60):
        file = make(mark, random.Random(mark))
        content = content_of(f"http://site/dataset/d/resource/r/download/{file.name}")
        assert content is not None
        assert content.mark == mark
        if file.name.endswith(".geojson") and content.count:
            features = json.loads(file.content)["features"]
            assert [one["properties"]["mark"] for one in features] == [mark] * content.count


def test_the_database_tells_an_uploads_name_only() -> None:
    assert content_of("m12-n30.kml") == Content(12, 30)


def test_a_seed_repeats_the_files() -> None:
    assert [make(1, random.Random(5)) for _ in range(2)] == [make(1, random.Random(5))] * 2


def test_two_workers_at_one_resource_at_the_same_time_are_found() -> None:
    told = [*steps("a", log(10, 5)), *steps("b", log(12, 4, generation=2))]
    assert [(one.generation, other.generation) for one, other in overlaps(told)] == [(1, 2)]


def at(second: float) -> datetime:
    return datetime(2026, 11, 24, 10) + timedelta(seconds=second)


def test_a_step_that_lost_its_lock_is_left_out() -> None:
    told = [*steps("a", log(10, 5)), *steps("b", log(12, 4, generation=2))]
    assert locked(told, [Cut(at(7), at(7))]) == told[1:]


def test_a_step_that_began_before_its_session_was_seen_to_end_is_left_out() -> None:
    told = [*steps("a", log(10, 5)), *steps("b", log(12, 4, generation=2))]
    assert locked(told, [Cut(at(4), at(7))]) == told[1:]


def test_a_step_that_was_left_counts_as_one_that_was_done() -> None:
    left = log(12, 4, generation=2).replace("took", "was left after")
    assert len(overlaps([*steps("a", log(10, 5)), *steps("b", left)])) == 1


READER = """
import resource, sys
for line in sys.stdin:
    resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))
    print("caged", flush=True)
"""


def test_a_reader_that_was_just_born_is_not_at_work_yet(tmp_path: Path) -> None:
    """Its life is not bound to its parent's yet: that comes before the cage is closed."""
    folder = tmp_path / "job"
    folder.mkdir()
    with (
        (folder / "reader.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", READER],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as reader,
    ):
        assert reader.stdin is not None
        assert reader.stdout is not None
        born = has_begun(reader.pid, tmp_path)
        reader.stdin.write(b"in\n")
        reader.stdin.flush()
        reader.stdout.readline()
        assert (born, has_begun(reader.pid, tmp_path)) == (False, True)
        reader.stdin.close()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as born:
        yield born
        born.kill()


def test_a_process_that_is_killed_lives_no_more_however_long_it_takes_to_end(
    child: subprocess.Popen[bytes],
) -> None:
    """It is seen at the moment of the signal, at its end, and after it."""
    process = Process(child.pid, os.getpid(), child.pid)
    before = is_alive(process)
    child.kill()
    seen = [is_alive(process) for _ in range(20)]
    assert (before, set(seen)) == (True, {False})


def test_a_frozen_process_stands_still_and_lives(child: subprocess.Popen[bytes]) -> None:
    process = Process(child.pid, os.getpid(), child.pid)
    assert (freeze(process), is_alive(process)) == (True, True)
    thaw(process)


def test_nobody_can_be_frozen_who_has_ended(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    assert not freeze(Process(child.pid, os.getpid(), child.pid))


def test_a_horse_is_at_work_once_it_has_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    before = has_begun(os.getpid(), tmp_path)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        assert (before, has_begun(os.getpid(), folder.parent)) == (False, True)
    finally:
        os.close(descriptor)


def test_each_guard_is_where_chaos_takes_it_away() -> None:
    code = "from devstack.chaos.breaks import BREAKS\nfor lacking in BREAKS.values(): lacking.remove()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("guard", BREAKS)
def test_the_moments_and_the_check_that_shall_name_a_missing_guard_exist(guard: str) -> None:
    assert BREAKS[guard].check in CHECKS
    assert set(BREAKS[guard].moments) <= all_of_them(0).keys()


def test_a_guard_that_is_not_there_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(db.queries(), "overtaken", "SELECT false")
    with pytest.raises(GuardMovedError, match="overtaken"):
        BREAKS["live-generation"].remove()


def test_a_secret_in_a_text_is_named() -> None:
    known = {"abc": "the password of somebody"}
    assert (told("host=x password=abc", known), told("host=x", known)) == (["the password of somebody"], [])


@pytest.mark.parametrize(
    "other",
    [log(20, 9, generation=2), log(12, 4, resource="r2")],
    ids=["one after the other", "another resource"],
)
def test_workers_that_do_not_meet_are_left_alone(other: str) -> None:
    assert overlaps([*steps("a", log(10, 5)), *steps("b", other)]) == []


def test_what_one_worker_tells_is_one_after_the_other() -> None:
    assert overlaps(steps("a", f"{log(10, 5)}\n{log(12, 4)}")) == []
