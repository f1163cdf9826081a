"""The house checks itself: what the style guide promises, read from the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.analytics import catalogue
from devstack import reference

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ckanext/hdxjobs"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migration" not in path.parts)
TESTS_TEXT = "\n".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)
)
PACKAGE_TEXT = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def public_functions(name: str) -> set[str]:
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def named_queries() -> list[str]:
    text = "\n".join(
        (PACKAGE / wing / "sql/queries.sql").read_text(encoding="utf-8")
        for wing in ("geopreview", "analytics")
    )
    return re.findall(r"^-- name: *(\w+)", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_function_fits_on_one_screen(path: Path) -> None:
    too_long = {f.name for f in functions(path) if (f.end_lineno or f.lineno) - f.lineno + 1 > 60}

    assert too_long == set()


def test_no_attic_is_opened() -> None:
    assert [path.name for path in MODULES if path.stem in {"utils", "util", "helper", "common", "misc"}] == []


def test_each_action_has_an_auth_function() -> None:
    assert public_functions("actions.py") <= public_functions("auth.py")


@pytest.mark.parametrize("action", sorted(public_functions("actions.py")))
def test_each_action_is_tested_and_in_the_readme(action: str) -> None:
    assert action in TESTS_TEXT
    assert action in (ROOT / "README.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(catalogue.EVENTS))
def test_each_event_is_tested(name: str) -> None:
    assert f'"{name}"' in TESTS_TEXT


@pytest.mark.parametrize("code", sorted(errors.FAILURES))
def test_each_error_code_is_raised_and_tested(code: str) -> None:
    quoted = f'"{code}"'

    assert quoted in re.sub(rf"Failure\(\s*{quoted}", "", PACKAGE_TEXT)
    assert quoted in TESTS_TEXT


@pytest.mark.parametrize("code", sorted(errors.NOTICES))
def test_each_warning_is_given_and_tested(code: str) -> None:
    quoted = f'"{code}"'

    assert quoted in re.sub(rf"NoticeText\(\s*{quoted}", "", PACKAGE_TEXT)
    assert quoted in TESTS_TEXT


def test_no_test_of_the_map_database_names_a_resource_as_another_may() -> None:
    tests = (ROOT / "tests/service").glob("*.py")

    assert [path.name for path in tests if 'resource_id="' in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("query", named_queries())
def test_each_named_query_is_used(query: str) -> None:
    assert re.search(rf'"{query}"', PACKAGE_TEXT)


@pytest.mark.parametrize(
    "dotted", sorted(set(re.findall(r'"(ckanext\.hdxjobs[\w.]*\.job\.\w+)"', PACKAGE_TEXT)))
)
def test_each_job_path_leads_to_a_function(dotted: str) -> None:
    module, _, name = dotted.rpartition(".")
    path = ROOT / (module.replace(".", "/") + ".py")

    assert name in {function.name for function in functions(path)}


@pytest.mark.parametrize("path", sorted(reference.pages()), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "run ./dev docs"
