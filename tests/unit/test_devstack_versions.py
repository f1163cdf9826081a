"""Which CKAN the stack runs, and that two of them can live in one checkout."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import pairwise

import pytest

from devstack import lint, paths
from devstack.paths import CKANS, ROOT


def _dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "HDXJOBS_DEV_CKAN"}
    return subprocess.run(
        [str(ROOT / "dev"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=kept | environment,
    )


def test_the_newest_ckan_is_taken_when_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HDXJOBS_DEV_CKAN", raising=False)

    assert paths.chosen_ckan() == CKANS[0] == max(CKANS)


def test_a_ckan_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDXJOBS_DEV_CKAN", "2.11")

    assert paths.chosen_ckan() == "2.11"


@pytest.mark.parametrize("arguments", [["help", "--ckan", "2.11"], ["--ckan=2.11", "help"]])
def test_the_version_may_stand_anywhere_among_the_arguments(arguments: list[str]) -> None:
    assert _dev(*arguments).returncode == 0


@pytest.mark.parametrize("arguments", [["help", "--ckan", "2.10"], ["help", "--ckan"], ["--ckan=", "help"]])
def test_a_ckan_that_is_not_supported_is_refused_and_those_that_are_get_named(arguments: list[str]) -> None:
    done = _dev(*arguments)

    assert done.returncode == 2
    assert all(version in done.stderr for version in CKANS)


def test_a_version_is_pinned_to_a_release_of_its_own() -> None:
    for version in CKANS:
        pins = (ROOT / "devstack" / f"requirements-{version}.txt").read_text()
        assert re.findall(r"^ckan\[requirements\]==(\d+\.\d+)\.\d+$", pins, re.MULTILINE) == [version]


def test_no_version_shares_its_state_with_another_or_holds_it() -> None:
    folders = [paths.state(version) for version in CKANS]

    assert not [one for one in folders for other in folders if one != other and one.is_relative_to(other)]
    assert len(set(folders)) == len(CKANS)


def test_the_stacks_of_two_versions_have_no_port_in_common() -> None:
    bases = sorted(paths.ports(version).base for version in CKANS)

    assert all(after - before >= 10 for before, after in pairwise(bases))


def test_lint_belongs_to_the_ckan_that_is_developed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "CKAN", "2.11")

    assert lint.refusal()
