"""When to try again, and with which reader: pure rules of patience."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ckanext.hdxjobs.geopreview.formats import Format

#: Seconds to wait after the first, second, ... attempt; the last one repeats.
DELAYS_S = (30, 120, 600, 1800, 3600)

#: A preview that could not be made for this long is given up until somebody asks again.
PATIENCE_S = 24 * 3600

#: Jobs that may die without a word (killed, out of memory) before the file is blamed.
MAX_LOST_JOBS = 5

#: GDAL as it comes with pyogrio, and the system's own.
PYOGRIO, OGR2OGR = "pyogrio", "ogr2ogr"

#: Codes of failures that are the reader's own as much as the file's: another one may do better.
OF_THE_READER = frozenset({"reader-crashed", "too-much-memory", "too-slow"})


@dataclass(frozen=True)
class Way:
    """A way to read a file: which build of GDAL, and which of its drivers."""

    reader: str
    driver: str


def ways(format_: Format, *, preferred: str, installed: Callable[[], Collection[str]]) -> Iterator[Way]:
    """The reader of a format, and then the one that is tried when it breaks: two at most.

    :param installed: drivers of the system's ogr2ogr, none where there is no ogr2ogr; asked late, because
        it has to be started to know
    """
    first, *others = (Way(PYOGRIO, driver) for driver in format_.drivers)
    if preferred == OGR2OGR:
        yield from [*_systems(format_, installed), first, *others][:2]
        return
    yield first
    yield from [*others, *_systems(format_, installed)][:1]


def _systems(format_: Format, installed: Callable[[], Collection[str]]) -> list[Way]:
    known = installed()
    return [Way(OGR2OGR, driver) for driver in format_.drivers if driver in known][:1]


def delay_s(*, attempt: int, waited_s: float, asked_s: int | None = None) -> int | None:
    """Seconds until the next attempt, or None: give up.

    :param attempt: how many attempts were made, 1 or more
    :param waited_s: seconds since the preview was asked for
    :param asked_s: seconds that the server behind a link wants to be left alone; at most an hour is granted
    """
    delay = max(DELAYS_S[min(attempt, len(DELAYS_S)) - 1], min(asked_s or 0, DELAYS_S[-1]))
    return None if waited_s + delay > PATIENCE_S else delay
