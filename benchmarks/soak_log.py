"""Where the time of small jobs goes, as the workers' own logs tell it."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \S+ +\[[^]]+\] (.*)$", re.M)
_STEP = re.compile(r"Preview of \S+, generation \d+: (\w+) took ([\d.]+) s")
_READY = re.compile(r"Preview of \S+, generation \d+: ready in ([\d.]+) s")
_BEGINS, _ENDS = re.compile(r"Worker \S+ starts job"), re.compile(r"Worker \S+ has finished job")

#: The steps in the order in which a job does them; between them lies what has no line of its own.
START, BETWEEN, END = "start-up", "between", "end"
STEPS = (START, "fetch", "detect", "load", "publish", "mirror", "prepare", BETWEEN, END)


def medians(logs: Iterable[str]) -> dict[str, float]:
    """Seconds of each step; the start-up is told as what it costs each preview of its job."""
    spent: dict[str, list[float]] = defaultdict(list)
    for log in logs:
        for made, job in _jobs(log):
            for step, seconds in job.items():
                spent[step] += [seconds] * made
    return {step: statistics.median(spent[step]) for step in STEPS if step in spent}


def _jobs(log: str) -> Iterator[tuple[int, dict[str, float]]]:
    """How many previews each job made, and the seconds of their steps by preview."""
    began = last = None
    steps: dict[str, float] = defaultdict(float)
    made = 0
    for when, text in _LINE.findall(log):
        at = datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f")
        if _BEGINS.match(text):
            began, last, steps, made = at, None, defaultdict(float), 0
        elif began and (step := _STEP.match(text)):
            seconds = float(step[2])
            waited = (at - (last or began)).total_seconds() - seconds
            steps[BETWEEN if last else START] += max(waited, 0.0)
            steps[step[1]] += seconds
            last = at
        elif _READY.match(text):
            made += 1
        elif began and last and made and _ENDS.match(text):
            steps[END] += (at - last).total_seconds()
            yield made, {name: seconds / made for name, seconds in steps.items()}
            began = None
