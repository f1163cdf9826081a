"""./dev soak: what its files hold, and what it reads from the workers' logs."""

from __future__ import annotations

import json

import pytest

from benchmarks import soak_files, soak_log
from benchmarks.soak_watch import Sample, quarters


def line(second: float, text: str) -> str:
    return f"2026-11-24 21:26:{second:06.3f} INFO  [ckan.lib.jobs] {text}\n".replace(".", ",", 1)


def preview(name: str, second: float) -> str:
    """A preview that begins at this second: half a second of fetch, a quarter of mirror, a quarter between."""
    of = f"Preview of {name}, generation 1:"
    return (
        line(second + 0.5, f"{of} fetch took 0.50 s, 9 bytes")
        + line(second + 0.7, f"{of} ready in 0.70 s, 1 layers, 2 features")
        + line(second + 1.0, f"{of} mirror took 0.25 s")
    )


BEGINS, ENDS = "Worker rq:worker:a starts job geo-1", "Worker rq:worker:a has finished job geo-1"
TWO_IN_ONE_JOB = line(1, BEGINS) + preview("a", 2) + preview("b", 3) + line(4.5, ENDS)


@pytest.mark.parametrize(
    ("step", "seconds"),
    [("start-up", 0.5), ("fetch", 0.5), ("mirror", 0.25), ("between", 0.25), ("end", 0.25)],
)
def test_seconds_of_a_job_are_told_by_preview(step: str, seconds: float) -> None:
    assert soak_log.medians([TWO_IN_ONE_JOB])[step] == pytest.approx(seconds)


def test_a_job_that_found_nothing_to_do_is_left_out() -> None:
    nothing = line(1, BEGINS) + line(2, "Preview of a, generation 1: nothing to do") + line(3, ENDS)
    assert soak_log.medians([nothing]) == {}


def test_files_of_each_kind_are_made_anew_the_same() -> None:
    files = [soak_files.make(number) for number in range(8)]
    assert {file.format for file in files} == {"GeoJSON", "KML", "SHP", "CSV"}
    assert len({file.content for file in files}) == 8
    assert len(json.loads(files[0].content)["features"]) == files[0].count
    assert files[3].content == soak_files.make(3).content


def test_quarters_are_medians_of_the_time() -> None:
    samples = [Sample(number, (number,), 0, 0, 0, 0, 0) for number in range(12)]
    assert quarters(samples, lambda sample: sample.at_s) == [1, 4, 7, 10]
