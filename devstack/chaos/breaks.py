"""Guards of the product that are taken away one at a time: what each is there for must be named by a check.

``./dev chaos --break NAME`` runs the moments in which a guard is needed, with workers and a sweep that lack it.
A guard that is not where it was when this was written ends the program at once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from ckanext.hdxjobs.geopreview import attempt, cage, child, db, lock, sweep, tether
from ckanext.hdxjobs.geopreview.preview import PREVIEW


class GuardMovedError(Exception):
    """What was to be taken away is not there."""


@dataclass(frozen=True)
class Break:
    """:ivar remove: take the guard away in this process
    :ivar moments: in which it is needed
    :ivar check: the title of the check that must name its absence
    """

    remove: Callable[[], None]
    moments: tuple[str, ...]
    check: str


def _function(module: ModuleType, name: str, instead: Callable[..., Any]) -> None:
    if not callable(getattr(module, name, None)):
        raise GuardMovedError(f"{module.__name__} has no function {name}")
    setattr(module, name, instead)


def _words(query: str, guard: str, instead: str) -> None:
    """Part of a named statement."""
    text = db.queries().get(query, "")
    if text.count(guard) != 1:
        raise GuardMovedError(f"the statement {query} has not once: {guard}")
    db.queries()[query] = text.replace(guard, instead)


@contextmanager
def _not_alone(_resource_id: str, _dsn: str) -> Iterator[Callable[[], None]]:
    yield lambda: None


def _whoever(claimed: attempt.Claim, _states: object = ()) -> tuple[Any, ...]:
    return (PREVIEW.c.resource_id == claimed.resource_id,)


#: Runs a parser that outlives its parent.
_PARSER = """
from ckanext.hdxjobs.geopreview import cage, parser
wish = cage._prctl
cage._prctl = lambda option, value: None if option == cage._PR_SET_PDEATHSIG else wish(option, value)
parser.main()
"""


def _parser_lives_on() -> None:
    if not {"_prctl", "_PR_SET_PDEATHSIG"} <= vars(cage).keys():
        raise GuardMovedError("the cage has not the wish to die with the parent where it was")
    module = ["-m", child.PARSER]

    class Started(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: Any) -> None:
            words = [str(word) for word in command]
            if child.PARSER in words and words[-2:] != module:
                raise GuardMovedError(f"the parser is not started by {module}")
            super().__init__([*words[:-2], "-c", _PARSER] if words[-2:] == module else command, **options)

    _function(subprocess, "Popen", Started)


ENDED = "previews in an end state"
GOOD = "good files ready, broken ones named"
ROWS = "files whose features are all served, and no others"
GONE = "deleted resources without tables"
TABLES = "tables that are live or retired"
ALONE = "steps of imports, none beside another of its resource"
MOMENTS = "certain moments of an import that came"

BREAKS: dict[str, Break] = {
    "take-back": Break(partial(_function, sweep, "_take_back", lambda: 0), ("bereft of its worker",), ENDED),
    "drop-staged": Break(
        partial(_function, sweep, "_drop_staged", lambda _dsn: 0), ("replaced by a broken file",), TABLES
    ),
    "claim": Break(partial(_function, attempt, "_mine", _whoever), ("late to fail",), GOOD),
    "live-generation": Break(
        partial(_words, "overtaken", "live_gen >= %(generation)s OR ", ""), ("overtaken",), ROWS
    ),
    "tombstone": Break(
        partial(
            _words,
            "tombstone",
            "greatest(hdxjobs.resource.tombstone_gen, excluded.tombstone_gen)",
            "hdxjobs.resource.tombstone_gen",
        ),
        ("buried",),
        GONE,
    ),
    "lock": Break(partial(_function, lock, "alone", _not_alone), ("followed",), ALONE),
    "horse-dies": Break(
        partial(_function, tether, "die_with_worker", lambda: True), ("bereft of its worker",), MOMENTS
    ),
    "reader-dies": Break(_parser_lives_on, ("bereft of its horse",), MOMENTS),
}


def main() -> None:
    """Run CKAN's command line without a guard."""
    name, *words = sys.argv[1:]
    BREAKS[name].remove()
    sys.argv = ["ckan", *words]
    from ckan.cli.cli import ckan  # noqa: PLC0415 - after the guard is gone

    ckan()


if __name__ == "__main__":
    main()
