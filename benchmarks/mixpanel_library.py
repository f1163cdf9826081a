"""The official library, one call an event: run by a Python that has it, see analytics_delivery.py."""

from __future__ import annotations

import sys
import time

import mixpanel

from devstack.fakes.sample import SAMPLE


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    tracker = mixpanel.Mixpanel("token", consumer=mixpanel.Consumer(events_url=f"{url}/track", retry_limit=0))
    spent = []
    for number in range(count):
        began = time.perf_counter()
        tracker.track(f"visitor-{number % 50}", "resource download", SAMPLE)
        spent.append(time.perf_counter() - began)
    print(count / sum(spent), sorted(spent)[count // 2] * 1000)


if __name__ == "__main__":
    main()
