"""What asking for a preview adds to a save, in one process: with our hook and without in turns.

    python -m benchmarks.one_save INI RESOURCE PAIRS

Each save gives the resource another file, so that each asks for a preview.  Prints JSON: milliseconds of the
saves with the hook and without, and of the hook itself: within the save's transaction, and at the bell.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

WARM_UP = 10


def main() -> None:
    ini, resource_id, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable(logging.INFO)
    os.environ["CKAN_INI"] = ini

    from ckan import model  # noqa: PLC0415
    from ckan.plugins import toolkit as tk  # noqa: PLC0415

    from ckanext.hdxjobs import queues  # noqa: PLC0415
    from ckanext.hdxjobs.geopreview import hooks  # noqa: PLC0415
    from devstack.wsgi import application  # noqa: PLC0415, F401 - CKAN_INI has to be set first

    inside, bell = _watched(hooks, "dataset_saved"), _watched(queues, "ring")
    asked = hooks.dataset_saved
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(WARM_UP + pairs):
        for hooked in (True, False) if number % 2 else (False, True):
            hooks.dataset_saved = asked if hooked else _nothing
            url = f"https://example.org/{number}-{hooked}.geojson"
            began = time.perf_counter()
            tk.get_action("resource_patch")(
                {"ignore_auth": True, "user": ""}, {"id": resource_id, "url": url}
            )
            times[hooked].append((time.perf_counter() - began) * 1000)
            model.Session.remove()
    found = {"on": times[True], "off": times[False], "inside": inside, "bell": bell}
    print(json.dumps({name: ms[WARM_UP:] for name, ms in found.items()}))


def _nothing(_package_id: str) -> None:
    """In the hook's place."""


def _watched(module: Any, name: str) -> list[float]:
    """The milliseconds of each call of a function from now on."""
    spent: list[float] = []
    work: Callable[..., Any] = getattr(module, name)

    def timed(*arguments: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*arguments, **more)
        finally:
            spent.append((time.perf_counter() - began) * 1000)

    setattr(module, name, timed)
    return spent


if __name__ == "__main__":
    main()
