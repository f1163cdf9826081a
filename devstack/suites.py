"""The tests: what each suite needs, how it is run, and the one summary at the end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from devstack import environment, lint, packages, postgres, sites, stack
from devstack.paths import CKAN, DEV, ROOT, TEST_INI, VENV
from devstack.steps import say, step

REPORTS = DEV / "test"
WITHOUT_CKAN = ("-p", "no:ckan", "-p", "no:ckan_fixtures")


@dataclass(frozen=True)
class Suite:
    """A folder of tests/ and what must run for it.

    :ivar servers: PostgreSQL, Redis and Solr
    :ivar ckan: CKAN's pytest plugin and its test databases
    :ivar browser: Chromium
    :ivar processes: that share its files, or its tests if it needs no servers; each makes databases of its own
    """

    name: str
    servers: bool = False
    ckan: bool = False
    browser: bool = False
    processes: int = 1

    @property
    def folder(self) -> Path:
        return ROOT / "tests" / self.name


SUITES = (
    Suite("unit"),
    Suite("fuzz", processes=2),
    Suite("service", servers=True, processes=2),
    Suite("ckan", servers=True, ckan=True, processes=len(sites.TESTS)),
    Suite("browser", servers=True, ckan=True, browser=True, processes=len(sites.TESTS)),
    Suite("chaos", servers=True),
)
NAMES = ("lint", *(suite.name for suite in SUITES))


@dataclass(frozen=True)
class Outcome:
    """How a suite went; ok is pytest's own verdict."""

    name: str
    ok: bool
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def run(names: list[str], arguments: list[str]) -> bool:
    """Run suites, by default all, and close with a summary; True if all is well."""
    wanted = [suite for suite in SUITES if suite.name in names or not names]
    outcomes = []
    if "lint" in names or not (names or lint.refusal()):
        began = time.monotonic()
        outcomes.append(Outcome("lint", lint.run(), time.monotonic() - began))
    for suite in wanted:
        if not suite.folder.is_dir():
            say(f"tests/{suite.name} does not exist")
            outcomes.append(Outcome(suite.name, False, 0))
            continue
        with _prepared(suite, arguments):
            outcomes.append(_pytest(suite, arguments))
    print(summary(outcomes), flush=True)
    return all(outcome.ok for outcome in outcomes)


@contextmanager
def _prepared(suite: Suite, arguments: list[str]) -> Iterator[None]:
    """All that the suite needs, and nobody else in its databases meanwhile."""
    if suite.servers:
        with stack.alone():
            stack.install()
            stack.start_servers()
    if suite.browser:
        with step("Chromium"):
            packages.ensure_browser()
    if not suite.ckan:
        yield
        return
    with (DEV / "test.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("Waiting for another test run of this checkout"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        with step("Databases of the tests"):
            for site in sites.TESTS[: processes(suite, arguments)]:
                for name, owner in site.databases.items():
                    postgres.make_database(name, owner=owner)
        yield


def _pytest(suite: Suite, arguments: list[str]) -> Outcome:
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    targets = (
        [] if any(names_a_test(argument) for argument in arguments) else [str(suite.folder.relative_to(ROOT))]
    )
    command = [
        *(str(VENV / "bin" / "python"), "-m", "pytest", f"--junitxml={report}"),
        *(("--ckan-ini", str(TEST_INI)) if suite.ckan else WITHOUT_CKAN),
        *together(suite, arguments),
        *targets,
        *arguments,
    ]
    say(f"\n{suite.name}, CKAN {CKAN}: pytest {' '.join([*targets, *arguments])}")
    settings = environment.for_tests() if suite.servers else {}
    began = time.monotonic()
    code = subprocess.call(command, cwd=ROOT, env=os.environ | settings, stdin=subprocess.DEVNULL)
    return outcome(suite.name, code, time.monotonic() - began, report)


def processes(suite: Suite, arguments: list[str]) -> int:
    """How many share the suite; whoever asks for something of their own gets one, for its debugger."""
    return 1 if arguments else suite.processes


def together(suite: Suite, arguments: list[str]) -> tuple[str, ...]:
    """What lets processes share a suite."""
    several = processes(suite, arguments)
    if several == 1:
        return ()
    # Whole files in the order of tests/conftest.py, or test by test.
    how = ("loadfile", "--no-loadscope-reorder") if suite.servers else ("load",)
    return ("-n", str(several), "--dist", *how)


def names_a_test(argument: str) -> bool:
    """Whether a pytest argument names a file, a folder or a test rather than an option."""
    return not argument.startswith("-") and Path(ROOT, argument.split("::", maxsplit=1)[0]).exists()


def outcome(name: str, code: int, seconds: float, report: Path) -> Outcome:
    """What pytest's exit code and report say; a suite without a single test has failed."""
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            for key in counts:
                counts[key] += int(suite.get(key, 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return Outcome(name, code == 0, seconds, passed, failed, counts["skipped"])


def summary(outcomes: list[Outcome]) -> str:
    """The closing lines: one a suite, then one for all."""
    lines = [""]
    for one in outcomes:
        verdict = "ok" if one.ok else "FAILED"
        counts = (
            f"{one.passed} passed, {one.failed} failed, {one.skipped} skipped" if one.name != "lint" else ""
        )
        lines.append(f"{one.seconds:7.1f} s  {one.name:<8} {verdict:<7} {counts}".rstrip())
    tests = [one for one in outcomes if one.name != "lint"]
    if tests:
        totals = [sum(getattr(one, kind) for one in tests) for kind in ("passed", "failed", "skipped")]
        lines.append(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return "\n".join(lines)
