"""What docs/promises.rst names is there, and what it says of clocks is so."""

from __future__ import annotations

import ast
import re

import pytest

from devstack.chaos import checks
from devstack.paths import ROOT

PAGE = (ROOT / "docs/promises.rst").read_text()
TESTS = re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", PAGE)
CHAOS = re.findall(r"``chaos: ([^`]+)``", PAGE)

#: What reads and changes the rows of previews.
LEDGER = ("attempt", "preview", "record", "sweep", "upkeep")
#: Clocks that can be set; how long something takes may be measured by others.
CLOCKS = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name for _, name in TESTS])
def test_each_test_that_proves_a_promise_exists(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M)


@pytest.mark.parametrize("title", CHAOS)
def test_each_check_that_proves_a_promise_exists(title: str) -> None:
    assert title in checks.CHECKS


def test_each_promise_has_a_proof() -> None:
    rows = PAGE.split("   * - ")[2:]
    assert [row for row in rows if "``tests/" not in row and "``chaos: " not in row] == []


@pytest.mark.parametrize("module", LEDGER)
def test_the_ledger_asks_no_clock_but_the_databases(module: str) -> None:
    path = ROOT / "ckanext/hdxjobs/geopreview" / f"{module}.py"
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = {
        (call.value.id, call.attr)
        for call in calls
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
    }
    assert named & CLOCKS == set()
