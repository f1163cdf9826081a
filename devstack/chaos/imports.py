"""An import that stands still at a certain step while something happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from devstack import postgres
from devstack.chaos import family, files, gates
from devstack.chaos.gates import Gate
from devstack.chaos.grounds import MAP_DATABASE, ORGANIZATION, Grounds
from devstack.own_site import until

#: Seconds in which a moment comes on the busiest machine.
PATIENCE_S = 1200

ROW = "SELECT generation, state, phase, retired_at IS NOT NULL FROM hdxjobs_preview WHERE resource_id = %s"


def await_(condition: Callable[[], bool]) -> None:
    until(condition, seconds=PATIENCE_S)


def first(look: Callable[[], list[family.Process]]) -> family.Process:
    """Of the processes that are waited for."""
    found: list[family.Process] = []

    def is_there() -> bool:
        found[:] = look()
        return bool(found)

    await_(is_there)
    return found[0]


class Import:
    """A long file on its way.

    :ivar mark: of the file; nobody else has it, nor the nine after it
    """

    def __init__(self, grounds: Grounds, mark: int, *, linked: bool = False) -> None:
        """:param linked: it is on another server, and not in the site's storage"""
        self.grounds = grounds
        self.dataset = f"chaos-moment-{mark}"
        self.package_id = str(grounds.call("package_create", name=self.dataset, owner_org=ORGANIZATION)["id"])
        self.mark, self.file = mark, files.long(mark)
        self._linked = linked
        self.resource_id = ""

    def begin(self) -> None:
        if self._linked:
            link = {"url": self.grounds.origin.url(self.file), "format": self.file.format}
            made = self.grounds.call("resource_create", package_id=self.package_id, **link)
            self.resource_id = str(made["id"])
        else:
            self.resource_id = self.beside(self.file)

    @property
    def row(self) -> tuple[int, str, str | None, bool]:
        """Generation, state, phase, and whether its tables are gone."""
        ((generation, state, phase, is_retired),) = self.grounds.ask_ckan(ROW, [self.resource_id])
        return generation, state, phase, is_retired

    def is_ready(self, generation: int) -> bool:
        return self.row[:2] == (generation, "ready")

    def horse(self) -> family.Process:
        return first(self.grounds.busy_horses)

    def readers(self) -> list[family.Process]:
        """At work."""
        born = family.children(horse.pid for horse in self.grounds.busy_horses())
        return [each for each in born if family.is_caged(each.pid)]

    def is_unread(self) -> bool:
        """Nobody knows yet what is in its file."""
        _, state, phase, _ = self.row
        return state in ("queued", "running") and phase in (None, "fetch", "detect")

    def beside(self, file: files.File) -> str:
        """One resource more in its dataset; its id."""
        return str(self.grounds.send("resource_create", file, package_id=self.package_id)["id"])

    def replace(self, file: files.File) -> None:
        self.grounds.send("resource_patch", file, id=self.resource_id)

    def ask_again(self) -> None:
        self.grounds.call("hdx_geopreview_submit", id=self.resource_id, force=True)


#: Begins an import and holds it at a step.
Hold = Callable[[Import], AbstractContextManager[Any]]


@contextmanager
def fetched(made: Import) -> Iterator[None]:
    """Half of the file has come."""
    with made.grounds.origin.held() as asked:
        made.begin()
        await_(asked.is_set)
        yield


@contextmanager
def checked(made: Import) -> Iterator[family.Process]:
    """Its reader is frozen before it tells what is in the file; one that was too quick is left alone."""
    made.begin()
    while (reader := _caught(made)) is None:
        made.begin()
    try:
        yield reader
    finally:
        family.thaw(reader)


def _caught(made: Import) -> family.Process | None:
    while made.is_unread():
        for reader in made.readers():
            if family.freeze(reader) and made.is_unread():
                return reader
            family.thaw(reader)
        time.sleep(0.02)
    return None


def loaded(made: Import) -> AbstractContextManager[None]:
    """Its table is about to be made."""
    return _at(Gate.LOAD, made)


@contextmanager
def published(made: Import) -> Iterator[family.Process]:
    """Its layers are loaded, and its work horse is frozen before it makes them the live ones."""
    with ExitStack() as held:
        with _at(Gate.PUBLISH, made):
            horse = made.horse()
            held.enter_context(_frozen(horse))
        yield horse


def prepared(made: Import) -> AbstractContextManager[None]:
    """Its map is shown, and its tiles are about to be stored."""
    return _at(Gate.PREPARE, made)


@contextmanager
def _at(gate: Gate, made: Import) -> Iterator[None]:
    grounds = made.grounds
    with gates.shut(grounds.database(postgres.SUPERUSER, MAP_DATABASE), gate):
        made.begin()
        await_(lambda: bool(grounds.ask_map(gates.WAITING, [gate])))
        yield


@contextmanager
def _frozen(process: family.Process) -> Iterator[None]:
    family.freeze(process)
    try:
        yield
    finally:
        family.thaw(process)
