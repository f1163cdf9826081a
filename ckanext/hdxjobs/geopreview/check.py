"""Whether the reader of files and its sandbox are in order on this machine: for the machine of a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import cage, translate
from ckanext.hdxjobs.geopreview.child import Child, Limits
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.probes import Finding
from ckanext.hdxjobs.geopreview.values import Coordinates

#: Seconds for a parser that is asked nothing but who it is.
ANSWER_TIMEOUT_S = 30
#: What the walls of the sandbox keep out, by their names in ``cage``.
WALLS = {
    "network": "a network of its own, with nobody in it",
    "privileges": "no program gives it more rights",
    "files": "it opens only what it needs (Landlock)",
    "calls": "no sockets, no new processes (seccomp)",
}


@dataclass(frozen=True)
class Wanted:
    """The settings that the probes are about."""

    sandbox: str
    reader: str
    memory_bytes: int


def run(wanted: Wanted) -> list[Finding]:
    """All probes; none of them raises."""
    return [finding for probe in PROBES for finding in probe(wanted)]


def _sandbox(wanted: Wanted) -> Iterable[Finding]:
    """Start a parser as a job would, and let it say what stands around it."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {"driver": "GeoJSON", "format": FORMATS["GeoJSON"].name, "is_copy": False, "encoding": None,
                 "coordinates": vars(Coordinates())}  # fmt: skip
        limits = Limits(ANSWER_TIMEOUT_S, wanted.memory_bytes, sandbox=wanted.sandbox)
        child = Child(Path(folder) / "nothing", asked, limits=limits)
        try:
            said = child.ask({"verb": "introduce"})
        except PreviewError as error:
            yield Finding("reader", ok=False, detail=str(error))
            return
        child.close()
    yield Finding("reader", ok=True, detail=f"GDAL {said['gdal']}, one of its drivers at a time")
    walls = said["walls"]
    for name, meaning in WALLS.items():
        yield Finding(f"sandbox: {name}", ok=_stands(name, walls, wanted), detail=f"{walls[name]}: {meaning}")


def _stands(name: str, walls: dict[str, str], wanted: Wanted) -> bool:
    """A wall that is missing is a fault where files are read from strangers without another one like it."""
    if walls[name] == cage.ON or wanted.sandbox == "off":
        return True
    return name in ("network", "calls") and cage.is_offline(walls)


def _second_reader(wanted: Wanted) -> Iterable[Finding]:
    version = translate.version()
    missing = "not installed: a file that breaks the reader gets no second try with it"
    yield Finding("ogr2ogr", ok=bool(version) or wanted.reader != "ogr2ogr", detail=version or missing)


#: In the order in which they are told.
PROBES: tuple[Callable[[Wanted], Iterable[Finding]], ...] = (_sandbox, _second_reader)
