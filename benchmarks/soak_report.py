"""What ./dev soak found, as a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Latencies
from benchmarks.report import Line
from benchmarks.soak_log import BETWEEN, END, START
from benchmarks.soak_watch import Sample, quarters
from devstack.steps import say

PAGE = Path(__file__).with_name("soak.md")

INTRODUCTION = """# Soak

`./dev soak --resources {resources} --workers {workers}`. {when}; {machine}, {packages}.

GeoJSON, KML, zipped Shapefiles and CSV of 20 to 300 features, each another one, are uploaded through the API as
quickly as it takes them; {workers} real workers make maps of them, and the sweep runs each minute. For the last fifth
of the uploads the workers are suspended, so that the rest of the queue tells their own rate. Then files come one by
one, each when the one before is ready. Site, workers, PostgreSQL, Solr and Redis share the machine.

To begin a job takes a fork and the whole of CKAN, as long as making a small map. So a job that is done answers the
next bell of its queue itself, for twenty seconds: where many wait, the beginning is shared by all of them.
"""
STEPS = {
    START: "fork, CKAN, the job's modules and its connections, for each map that the job made",
    "fetch": "the file from CKAN's storage into the work folder",
    "detect": "a sandboxed parser is started and describes the file",
    "load": "COPY into PostGIS",
    "publish": "index, checks, the flip",
    BETWEEN: "locks, the ledger, the work folder",
    "mirror": "map view, extras, search index",
    "prepare": "tiles that are stored or cheap",
    END: "sweep and RQ's own work",
}
#: MB by which a worker may grow from the second quarter of the time to the last.
FLAT_MB = 10


@dataclass(frozen=True)
class Found:
    """What a run measured.

    :ivar times: of each preview that ended, queued and finished, Unix time, in the order of their ends
    :ivar uploads_s: seconds of all uploads
    :ivar rest: previews that waited when the workers were let go again, and the seconds that they took
    :ivar alone: from save to map while nothing else waited
    :ivar steps: median seconds
    :ivar features: in the files and in the maps
    :ivar tables: of layers, and layers that are live
    """

    resources: int
    workers: int
    states: dict[str, int]
    times: list[tuple[float, float]]
    uploads_s: float
    rest: tuple[int, float]
    alone: Latencies
    samples: list[Sample]
    steps: dict[str, float]
    features: tuple[int, int]
    tables: tuple[int, int]


def write(found: Found, *, to_page: bool) -> int:
    """Write the page and say what it says; 1 if something that is wanted is not met."""
    lines = [*_outcome(found), *_rates(found), *_resources(found)]
    if to_page:
        introduction = INTRODUCTION.format(
            resources=found.resources,
            workers=found.workers,
            when=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            machine=report.machine(),
            packages=", ".join(f"{name} {version(name)}" for name in ("ckan", "rq", "pyogrio")),
        )
        parts = [introduction, report.table(lines), "## Where a small job's time goes", _steps(found)]
        PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    say(_steps(found))
    for line in lines:
        say(f"  {line.what}: {line.found}" + ("" if line.met is None else f" (wanted {line.wanted})"))
    return int(any(line.met is False for line in lines))


def _outcome(found: Found) -> Iterator[Line]:
    told = ", ".join(f"{state}: {count}" for state, count in found.states.items())
    all_ready = list(found.states) == ["ready"]
    yield Line("previews by state", told, "all ready", all_ready)
    inside, shown = found.features
    yield Line("features in the files / on the maps", f"{inside} / {shown}", "equal", inside == shown)
    tables, live = found.tables
    yield Line("tables of layers / live layers", f"{tables} / {live}", "equal", tables == live)
    left = found.samples[-1].folders
    yield Line("work folders left", str(left), "0", left == 0)


def _rates(found: Found) -> Iterator[Line]:
    ends = [end for _, end in found.times]
    first = min(queued for queued, _ in found.times)
    yield Line("uploads a minute, maps being made meanwhile", _rate(found.resources, found.uploads_s))
    yield Line("maps a minute, from the first upload to the last map", _rate(len(ends), ends[-1] - first))
    count, seconds = found.rest
    yield Line(f"… of the last {count}, with the workers alone", _rate(count, seconds))
    yield Line(
        f"from save to map on a quiet site, {len(found.alone.ms)} files",
        f"p50 {found.alone.p50 / 1000:.2f} s, p99 {found.alone.p99 / 1000:.2f} s",
    )


def _rate(count: int, seconds: float) -> str:
    return f"{count / max(seconds, 0.001) * 60:.0f}"


def _resources(found: Found) -> Iterator[Line]:
    samples = found.samples
    for number in range(found.workers):
        first, second, third, last = quarters(samples, lambda sample, at=number: sample.worker_mb[at])  # type: ignore[misc]
        yield Line(
            f"memory of worker {number + 1}, by quarters of the time",
            f"{first:.0f}, {second:.0f}, {third:.0f}, {last:.0f} MB",
            "flat",
            last - second <= FLAT_MB,
        )
    values = quarters(samples, lambda sample: sample.job_mb)
    yield Line(
        "memory of the larger of the processes that do jobs, by quarters of the time",
        ", ".join(f"{value:.0f}" for value in values) + " MB",
    )
    for what, of in {
        "connections to PostgreSQL": lambda sample: sample.connections,
        "… idle ones": lambda sample: sample.idle,
    }.items():
        values = quarters(samples, of)
        yield Line(
            f"{what}, by quarters of the time",
            ", ".join(f"{value:.0f}" for value in values),
            "no growth",
            values[-1] <= max(values[:-1]) + 1,
        )
    yield Line(
        "memory of Redis, by quarters of the time",
        ", ".join(f"{value:.1f}" for value in quarters(samples, lambda sample: sample.redis_mb)) + " MB",
    )


def _steps(found: Found) -> str:
    rows = [f"| {name} | {seconds:.2f} | {STEPS[name]} |" for name, seconds in found.steps.items()]
    total = f"| all | {sum(found.steps.values()):.2f} | |"
    return "\n".join(["| step | median s | what it is |", "|---|---|---|", *rows, total])
