"""The workers' logs: when which import was at which step.

A worker has one job at a time and a log of its own, so that steps of one resource that two logs tell of
at the same time are two imports at once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

_STEP = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) .*Preview of (\S+), generation (\d+):"
    r" (fetch|detect|load|publish) (?:took|was left after) ([\d.]+) s",
    re.M,
)

#: A step's length is told in hundredths of a second, and its end is told a moment later.
BLURRED = timedelta(milliseconds=30)


@dataclass(frozen=True)
class Cut:
    """When sessions of the map database were ended, and all locks with them: each at some time within it."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Step:
    worker: str
    resource_id: str
    generation: int
    name: str
    begin: datetime
    end: datetime


def steps(worker: str, log: str) -> list[Step]:
    """The steps that a worker's jobs ended, also those that they left in the middle."""
    found = []
    for when, resource_id, generation, name, seconds in _STEP.findall(log):
        end = datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f")
        begin = end - timedelta(seconds=float(seconds))
        found.append(Step(worker, resource_id, int(generation), name, begin, end))
    return found


def locked(told: Iterable[Step], cuts: Collection[Cut]) -> list[Step]:
    """Without those that lost their lock on the way: they are stopped where the next step begins."""
    return [
        step
        for step in told
        if not any(step.begin - BLURRED <= cut.end and cut.begin <= step.end for cut in cuts)
    ]


def overlaps(told: Iterable[Step]) -> list[tuple[Step, Step]]:
    """Steps of one resource that two workers did at the same time."""
    by_resource: dict[str, list[Step]] = defaultdict(list)
    for step in told:
        by_resource[step.resource_id].append(step)
    return [
        (one, other)
        for same in by_resource.values()
        for one in same
        for other in same
        if one.worker < other.worker and min(one.end, other.end) - max(one.begin, other.begin) > BLURRED
    ]
