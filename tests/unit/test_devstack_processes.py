"""What the process manager is told."""

from __future__ import annotations

import os
from configparser import RawConfigParser
from pathlib import Path

import pytest

from devstack.processes import Program, configuration, is_stale


def test_a_percent_sign_of_a_command_is_not_an_expansion() -> None:
    assert "command = postgres -c 'x=%%m'" in Program("postgres", "postgres -c 'x=%m'").section()


def test_each_program_starts_again_by_itself_and_only_when_told_the_first_time() -> None:
    parser = RawConfigParser()
    parser.read_string(configuration([Program("solr", "java x"), Program("redis", "redis-server")]))

    programs = [parser[name] for name in parser.sections() if name.startswith("program:")]
    assert [(one["autostart"], one["autorestart"]) for one in programs] == [("false", "true")] * 2


@pytest.mark.parametrize(("changed", "stale"), [(99.9, False), (100.9, False), (101.0, True)])
def test_a_program_is_stale_once_its_code_is_newer_than_the_second_of_its_start(
    tmp_path: Path, changed: float, stale: bool
) -> None:
    (tmp_path / "code.py").touch()
    os.utime(tmp_path / "code.py", (changed, changed))

    assert is_stale(Program("ckan", "gunicorn", sources=(tmp_path,)), started=100) is stale
