"""What Prometheus reads of the site: previews, queues, tiles and events, as they are at the moment.

Nothing is measured for it: all of it is known anyway, to the database, to Redis, to the outbox.  Any web process
gives the same answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import ckan.plugins.toolkit as tk
import psycopg2
import redis
import sqlalchemy as sa
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ckanext.hdxjobs import config, queues, replies, workers
from ckanext.hdxjobs.analytics import health
from ckanext.hdxjobs.analytics.outbox import Outbox
from ckanext.hdxjobs.geopreview import backlog, footfall, footprints, sweep
from ckanext.hdxjobs.geopreview.tally import BOUNDS_MS
from ckanext.hdxjobs.geopreview.values import Phase
from ckanext.hdxjobs.replies import OwnResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_BEARER = "Bearer "
#: Set by ``TokenGate``; a client can set no key of this kind.
_ADMITTED = "hdxjobs.metrics"
#: The phase of a preview that a worker has just taken.
_BEGINNING = "beginning"


class TokenGate:
    """Takes the token off a request for the metrics before CKAN sees it, which would log how it begins."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        said = environ.get("HTTP_AUTHORIZATION", "")
        if said.startswith(_BEARER):
            settings = config.metrics_settings()
            if settings.path and environ.get("PATH_INFO") == settings.path:
                del environ["HTTP_AUTHORIZATION"]
                environ[_ADMITTED] = _is_right(said.removeprefix(_BEARER), settings.token)
        return self._app(environ, start_response)


def _is_right(token: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(token.encode(), wanted.encode())


def page() -> Response:
    """All metrics as text, for sysadmins and for who brought the token."""
    if not (tk.request.environ.get(_ADMITTED) or _is_sysadmin()):
        return replies.text(403, "For sysadmins, or with the token of ckanext.hdxjobs.metrics.token")
    return OwnResponse(text(), content_type=CONTENT_TYPE_LATEST)


def text() -> bytes:
    """All metrics, in the format that goes with ``CONTENT_TYPE_LATEST``."""
    registry = CollectorRegistry()
    registry.register(_Site())
    return generate_latest(registry)


def _is_sysadmin() -> bool:
    try:
        tk.check_access("sysadmin", {"user": tk.current_user.name})
    except tk.NotAuthorized:
        return False
    return True


class _Site(Collector):
    """Asks each part; one that is away takes only its own metrics along."""

    def collect(self) -> Iterator[Metric]:
        answers = {}
        for part, ask in PARTS.items():
            try:
                found = list(ask())
            except (sa.exc.SQLAlchemyError, psycopg2.Error, redis.RedisError, OSError):
                answers[part] = 0
            else:
                answers[part] = 1
                yield from found
        yield _gauge(
            "hdxjobs_part_up", "Whether this part of the metrics could be asked for.", answers, "part"
        )


def _previews() -> Iterator[Metric]:
    states = {state.value: count for state, count in backlog.counts().items()}
    yield _gauge("hdxjobs_previews", "Previews of resources by state.", states, "state")
    at_work = dict.fromkeys((_BEGINNING, *(phase.value for phase in Phase)), 0)
    for phase, count in backlog.phases().items():
        at_work[phase or _BEGINNING] = count
    yield _gauge("hdxjobs_previews_running", "Previews that workers make, by phase.", at_work, "phase")
    failed = GaugeMetricFamily(
        "hdxjobs_previews_failed",
        "Previews that ended with an error, or are tried again after one.",
        labels=["code", "state"],
    )
    for one in backlog.failures():
        failed.add_metric([one.code, one.state], one.count)
    yield failed
    queue = backlog.queue(silent_s=sweep.SILENT_S)
    yield GaugeMetricFamily("hdxjobs_previews_waiting", "Previews that wait for a worker.", queue.waiting)
    yield GaugeMetricFamily(
        "hdxjobs_previews_silent", "Running previews whose worker was not heard of lately.", queue.silent
    )
    yield GaugeMetricFamily(
        "hdxjobs_previews_oldest_waiting_seconds",
        "How long the oldest preview has waited for a worker; 0 when none waits.",
        queue.oldest_s or 0.0,
    )
    yield GaugeMetricFamily("hdxjobs_layers", "Layers that are served.", backlog.layers())


def _queues() -> Iterator[Metric]:
    seen = {name: workers.look(name) for name in (queues.GEO, queues.ANALYTICS)}
    waiting = {name: state.waiting for name, state in seen.items()}
    yield _gauge("hdxjobs_queue_jobs", "Jobs that no worker took yet.", waiting, "queue")
    listening = {name: len(state.workers) for name, state in seen.items()}
    yield _gauge("hdxjobs_queue_workers", "Workers that listen on a queue.", listening, "queue")
    lately = {
        name: min(worker.seen_s for worker in state.workers) for name, state in seen.items() if state.workers
    }
    yield _gauge(
        "hdxjobs_queue_worker_seen_seconds", "Since one of the workers was last heard of.", lately, "queue"
    )
    swept_s = queues.noted_s(sweep.SWEPT)
    if swept_s is not None:
        yield GaugeMetricFamily("hdxjobs_sweep_age_seconds", "Since the last sweep ended.", swept_s)


def _tiles() -> Iterator[Metric]:
    footfall.flush()
    counts = footprints.total()
    asked = CounterMetricFamily(
        "hdxjobs_tiles", "Tiles that were sent, by where they came from.", labels=["source"]
    )
    for source, count in sorted(counts.by_source.items()):
        asked.add_metric([source], count)
    yield asked
    yield CounterMetricFamily(
        "hdxjobs_tile_sent_bytes", "Bytes of tiles as they were sent.", counts.sent_bytes
    )
    below, buckets = 0, []
    for bound, count in zip((*BOUNDS_MS, None), counts.histogram, strict=True):
        below += count
        buckets.append(("+Inf" if bound is None else str(bound / 1000), below))
    yield HistogramMetricFamily(
        "hdxjobs_tile_duration_seconds", "How long tiles took.", buckets, sum_value=counts.ms / 1000
    )


def _events() -> Iterator[Metric]:
    settings = config.analytics_settings()
    outbox = Outbox(settings.dsn)
    try:
        sinks = health.overview(outbox, settings.sinks)
    finally:
        outbox.close()
    for name, text, values in (
        ("waiting", "Events that wait to be delivered.", {sink.name: sink.backlog for sink in sinks}),
        ("dead", "Events that a service refused for good.", {sink.name: sink.dead for sink in sinks}),
        (
            "oldest_waiting_seconds",
            "Since the oldest waiting event happened; 0 when none waits.",
            {sink.name: sink.oldest_s or 0.0 for sink in sinks},
        ),
    ):
        yield _gauge(f"hdxjobs_events_{name}", text, values, "sink")
    alarms = {sink.name: int(bool(sink.alarm)) for sink in sinks}
    yield _gauge("hdxjobs_sink_alarm", "Whether somebody has to mend a sink's settings.", alarms, "sink")


def _gauge(name: str, text: str, values: Mapping[str, float], label: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


#: By what ``hdxjobs_part_up`` calls them.
PARTS: dict[str, Callable[[], Iterable[Metric]]] = {
    "previews": _previews,
    "queues": _queues,
    "tiles": _tiles,
    "events": _events,
}
