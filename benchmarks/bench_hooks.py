"""What a publisher waits for: ./dev bench hooks writes its part of benchmarks/README.md.

./dev bench hooks, or python -m benchmarks.bench_hooks
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from importlib.metadata import version

from benchmarks import analytics_requests, report
from benchmarks.measure import Latencies
from benchmarks.report import Line
from devstack.own_site import Site
from devstack.paths import ROOT
from devstack.steps import step

PAIRS = 300
#: Resources of the dataset that is saved; the hook looks at each.
RESOURCES = 5
OPTIONS = {"ckanext.hdxjobs.analytics.enabled": "false"}


def main() -> None:
    with analytics_requests.site(OPTIONS) as site:
        resource_id = _dataset(site)
        with step(f"{PAIRS} saves with the hook and as many without"):
            found = _measure(site, resource_id)
    lines = list(_lines(**found))
    report.write("hooks", [report.table(lines)], packages=f"ckan {version('ckan')}, rq {version('rq')}")
    report.close(lines)


def _dataset(site: Site) -> str:
    """The resource that is saved."""
    resources = [{"url": f"https://example.org/{number}.geojson"} for number in range(RESOURCES)]
    made = site.call("package_create", name="hooks", resources=resources)
    return str(made["resources"][0]["id"])


def _measure(site: Site, resource_id: str) -> dict[str, Latencies]:
    command = [sys.executable, "-m", "benchmarks.one_save", str(site.ini), resource_id, str(PAIRS)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return {name: Latencies(ms) for name, ms in json.loads(done.stdout.splitlines()[-1]).items()}


def _lines(*, on: Latencies, off: Latencies, inside: Latencies, bell: Latencies) -> list[Line]:
    added = statistics.median(one - other for one, other in zip(on.ms, off.ms, strict=True))
    return [
        Line("a save without the hook", f"p50 {off.p50:.1f} ms, p99 {off.p99:.1f} ms"),
        Line("a save that asks for a preview", f"p50 {on.p50:.1f} ms, p99 {on.p99:.1f} ms"),
        Line(f"asking adds, median of {len(on.ms)} pairs", f"{added:.1f} ms", "≤ 5 ms", added <= 5),
        Line("the hook within the save's transaction", f"p50 {inside.p50:.1f} ms, p99 {inside.p99:.1f} ms"),
        Line("the bell after the commit", f"p50 {bell.p50:.1f} ms, p99 {bell.p99:.1f} ms"),
    ]


if __name__ == "__main__":
    main()
