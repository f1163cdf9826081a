"""How far a long command is, now and then, where it does not disturb its output."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")

#: Seconds between two lines.
EVERY_S = 5.0


def told(things: Iterable[T], *, total: int | None = None) -> Iterator[T]:
    """Pass things on, and write to stderr how many were done.

    :param total: how many there are, where that is known
    """
    of_all = "" if total is None else f" of {total}"
    due = time.monotonic() + EVERY_S
    for done, thing in enumerate(things):
        if time.monotonic() >= due:
            click.echo(f"{done}{of_all} done", err=True)
            due = time.monotonic() + EVERY_S
        yield thing
