"""What a benchmark found, as a part of benchmarks/README.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from devstack import outbox, postgres
from devstack.steps import say

REPORT = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Line:
    """A row of the report.

    :ivar wanted: what the project asks for; "" = it asks for the number only
    :ivar met: whether it is so; None = there is nothing to meet
    """

    what: str
    found: str
    wanted: str = ""
    met: bool | None = None

    def row(self) -> str:
        verdict = "" if self.met is None else ("yes" if self.met else "**no**")
        return f"| {self.what} | {self.found} | {self.wanted} | {verdict} |"


def table(lines: Iterable[Line]) -> str:
    """Lines as a table."""
    return "\n".join(
        ["| what | measured | wanted | met |", "|---|---|---|---|", *(line.row() for line in lines)]
    )


def write(name: str, texts: Iterable[str], *, packages: str) -> None:
    """Put the texts, under a line about the machine, where ``./dev bench NAME`` has its part."""
    begin, end = f"<!-- {name}: written by ./dev bench {name} -->\n", f"<!-- end of {name} -->\n"
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    part = "\n\n".join([f"{when}; {machine()}, {packages}.", *texts])
    before, found, rest = REPORT.read_text(encoding="utf-8").partition(begin)
    if not found:
        raise SystemExit(f"{REPORT.name} has no part for {name}")
    REPORT.write_text(f"{before}{begin}\n{part}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def close(lines: Iterable[Line]) -> None:
    """Say what was found; exit with 1 if something that is wanted is not met."""
    found = list(lines)
    for line in found:
        say(f"  {line.what}: {line.found}" + ("" if line.met is None else f" (wanted {line.wanted})"))
    say(f"\n  report    {REPORT}")
    if any(line.met is False for line in found):
        sys.exit(1)


def machine() -> str:
    """What it ran on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    ((server,),) = outbox.run(postgres.url(postgres.SUPERUSER, "postgres"), "SHOW server_version")
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release().partition('-')[0]}; "
        f"Python {platform.python_version()}, PostgreSQL {server}"
    )
