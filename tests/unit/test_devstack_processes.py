"""What the process manager is told."""

from __future__ import annotations

from configparser import RawConfigParser

from devstack.processes import Program, configuration


def test_a_percent_sign_of_a_command_is_not_an_expansion() -> None:
    assert "command = postgres -c 'x=%%m'" in Program("postgres", "postgres -c 'x=%m'").section()


def test_each_program_starts_again_by_itself_and_only_when_told_the_first_time() -> None:
    parser = RawConfigParser()
    parser.read_string(configuration([Program("solr", "java x"), Program("redis", "redis-server")]))

    programs = [parser[name] for name in parser.sections() if name.startswith("program:")]
    assert [(one["autostart"], one["autorestart"]) for one in programs] == [("false", "true")] * 2
