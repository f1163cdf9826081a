"""The usual way: an RQ job for each event, which posts it to Mixpanel by itself."""

from __future__ import annotations

import json
import sys
import time
import uuid

import ckan.plugins.toolkit as tk
import redis
import requests
import rq
from ckan.cli import load_config
from ckan.lib.jobs import add_queue_name_prefix

from devstack.fakes.sample import SAMPLE

QUEUE = "bench_q"


def track(url: str, event_id: str) -> None:
    """The job: one event, one request, 2 s at most, as portals do it."""
    properties = {**SAMPLE, "time": int(time.time()), "distinct_id": "visitor", "$insert_id": event_id}
    sent = json.dumps({"event": "resource download", "properties": properties})
    requests.post(f"{url}/track", data={"data": sent, "verbose": 1, "ip": 0}, timeout=2).raise_for_status()


def enqueue(ini: str, redis_url: str, url: str, count: int) -> None:
    """Put the jobs on the queue."""
    tk.config.update(load_config(ini))
    queue = rq.Queue(add_queue_name_prefix(QUEUE), connection=redis.Redis.from_url(redis_url))
    for _ in range(count):
        queue.enqueue_call("benchmarks.job_an_event.track", args=(url, str(uuid.uuid4())), result_ttl=60)


if __name__ == "__main__":
    enqueue(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
