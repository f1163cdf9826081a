"""How a test run is summed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.suites import Outcome, Suite, names_a_test, outcome, summary, together

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="9" failures="2" errors="1" skipped="1"/>
</testsuites>"""


def test_the_counts_are_those_of_pytests_report(tmp_path: Path) -> None:
    report = tmp_path / "unit.xml"
    report.write_text(REPORT)

    assert outcome("unit", 1, 2.5, report) == Outcome("unit", False, 2.5, passed=5, failed=3, skipped=1)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_a_suite_that_pytest_calls_bad_or_empty_has_failed(code: int, tmp_path: Path) -> None:
    assert not outcome("unit", code, 1, tmp_path / "none.xml").ok


def test_the_last_line_sums_up_all_suites_and_leaves_lint_out() -> None:
    done = [Outcome("lint", True, 9), Outcome("unit", True, 1, 5, 0, 1), Outcome("ckan", False, 9, 7, 2, 0)]

    assert summary(done).splitlines()[-1] == "12 passed, 2 failed, 1 skipped"


def test_a_suite_that_failed_is_named() -> None:
    assert "ckan     FAILED" in summary([Outcome("ckan", False, 9, 7, 2, 0)])


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("tests/unit", True),
        ("tests/conftest.py::test_x", True),
        ("-k", False),
        ("--lf", False),
        ("no/such", False),
    ],
)
def test_a_path_replaces_the_suites_folder_and_an_option_does_not(argument: str, names: bool) -> None:
    assert names_a_test(argument) is names


def test_processes_share_a_whole_suite_but_not_what_somebody_looks_at_alone() -> None:
    shared = Suite("service", servers=True, processes=2)
    assert together(shared, []) == ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    assert together(shared, ["-x"]) == together(Suite("ckan", servers=True), []) == ()


def test_processes_share_single_tests_where_no_database_is_made_for_each_process() -> None:
    assert together(Suite("fuzz", processes=2), []) == ("-n", "2", "--dist", "load")


def test_the_files_that_processes_take_first_exist(pytestconfig: pytest.Config) -> None:
    tests = Path(__file__).parents[1]
    root = pytestconfig.pluginmanager.get_plugin(str(tests / "conftest.py"))

    assert [name for name in root.LONG_FILES if not (tests / name).is_file()] == []
