"""What tracking adds to a request, in one process: on and off in turns, so that all else is equal.

    python -m benchmarks.one_request INI PATH PAIRS

Prints JSON: milliseconds until the whole answer is out, with tracking and
without; and milliseconds of processor time that tracking itself takes within
the request and after the answer.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import BROWSER

WARM_UP = 100
OPTION = "ckanext.hdxjobs.analytics.enabled"


def main() -> None:
    ini, path, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable(logging.INFO)
    os.environ["CKAN_INI"] = ini

    from ckanext.hdxjobs.analytics import traffic  # noqa: PLC0415 - before CKAN binds the hooks' names

    inside, after = _watched(traffic, "finish"), _watched(traffic, "_store")

    from ckan.plugins import toolkit as tk  # noqa: PLC0415 - CKAN_INI has to be set first
    from werkzeug.test import Client  # noqa: PLC0415

    from devstack.wsgi import application  # noqa: PLC0415

    visitor = Client(application)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(WARM_UP + pairs):
        for tracked in (True, False) if number % 2 else (False, True):
            tk.config[OPTION] = tracked
            began = time.perf_counter()
            answer = visitor.get(path, headers={"User-Agent": BROWSER})
            answer.get_data()
            times[tracked].append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"HTTP {answer.status_code}")
            answer.close()
    found = {"on": times[True][WARM_UP:], "off": times[False][WARM_UP:]}
    # Requests that are not tracked pass "finish" too, and end there at once.
    print(json.dumps({**found, "inside": sorted(inside)[-pairs:], "after": after[-pairs:]}))


def _watched(module: Any, name: str) -> list[float]:
    """The milliseconds of processor time of each call of a function from now on."""
    spent: list[float] = []
    work: Callable[..., Any] = getattr(module, name)

    def timed(*arguments: Any, **more: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*arguments, **more)
        finally:
            spent.append((time.thread_time() - began) * 1000)

    setattr(module, name, timed)
    return spent


if __name__ == "__main__":
    main()
