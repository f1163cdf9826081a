"""Whether the site's parts are there and in order, as any process of CKAN's can tell.

What only a worker's machine can tell, the reader and its sandbox, is ``check``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import redis
import sqlalchemy as sa

from ckanext.hdxjobs import config, queues, workers
from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import backlog, db, probes, publish, record, sweep, workplace
from ckanext.hdxjobs.geopreview.preview import needs_migration
from ckanext.hdxjobs.geopreview.probes import Finding

#: Seconds that previews may wait while no worker does anything: a long queue is no fault, one that stands still is.
STANDSTILL_S = 600
#: Seconds without a sweep after which it counts as not running; it should run each minute.
UNSWEPT_S = 600
#: Bytes that CKAN's storage should have for the next uploads.
STORAGE_BYTES = 1000**3


def run() -> list[Finding]:
    """All probes; none of them raises."""
    return [finding for part, probe in PROBES.items() for finding in _heard(part, probe)]


def faults() -> list[Finding]:
    """What is out of order, for a page that asks every few seconds."""
    quick = ((part, probe) for part, probe in PROBES.items() if part not in UNPOLLED)
    return [finding for part, probe in quick for finding in _heard(part, probe) if not finding.ok]


def _heard(part: str, probe: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(probe())
    except redis.RedisError as error:
        return [Finding(part, ok=False, detail=_without_redis(part, type(error).__name__))]
    except sa.exc.SQLAlchemyError as error:
        detail = record.MIGRATE if needs_migration(error) else f"CKAN's database: {type(error).__name__}"
        return [Finding(part, ok=False, detail=detail)]
    except PreviewError as error:
        return [Finding(part, ok=False, detail=db.explained(error))]
    except OSError as error:
        return [Finding(part, ok=False, detail=str(error))]


def _without_redis(part: str, reason: str) -> str:
    if part != "Redis":
        return f"nobody knows: Redis does not answer ({reason})"
    return (
        f"does not answer ({reason}); start it, or correct ckan.redis.url. What is saved meanwhile is kept, and "
        "queued by the sweep once Redis is back"
    )


def _map_database() -> Iterable[Finding]:
    yield probes.map_database(config.geo_settings().loader_url)
    yield probes.tiles_role(config.tile_settings().tiles_url)


def _redis() -> Iterable[Finding]:
    yield probes.redis_server(queues.connection())


def _previews() -> Iterable[Finding]:
    found = backlog.queue(silent_s=sweep.SILENT_S)
    waited = f", the oldest for {_duration(found.oldest_s)}" if found.oldest_s is not None else ""
    idle_s = found.oldest_s if found.idle_s is None else found.idle_s
    stands = min(found.oldest_s or 0.0, idle_s or 0.0) > STANDSTILL_S
    advice = "; no worker does anything: do they listen on geo_q, and does the sweep run?" if stands else ""
    yield Finding("previews waiting", ok=not stands, detail=f"{found.waiting}{waited}{advice}")
    silent = f", {found.silent} of them silent: the sweep takes those back" if found.silent else ""
    yield Finding("previews running", ok=not found.silent, detail=f"{found.running}{silent}")


def _geo_queue() -> Iterable[Finding]:
    yield _queue(queues.GEO, needed=config.enabled())


def _analytics_queue() -> Iterable[Finding]:
    yield _queue(queues.ANALYTICS, needed=config.analytics_settings().enabled)


def _queue(name: str, *, needed: bool) -> Finding:
    seen = workers.look(name)
    if seen.workers:
        lately_s = min(worker.seen_s for worker in seen.workers)
        number = "1 worker" if len(seen.workers) == 1 else f"{len(seen.workers)} workers"
        staff = f"{number}, seen {_duration(lately_s)} ago"
    else:
        staff = f"no worker; run: ckan jobs worker {name}" if needed else "no worker, and none is needed"
    jobs = "1 job waits" if seen.waiting == 1 else f"{seen.waiting} jobs wait"
    return Finding(name, ok=bool(seen.workers) or not needed, detail=f"{jobs}, {staff}")


def _sweep() -> Iterable[Finding]:
    ago_s = queues.noted_s(sweep.SWEPT)
    ran = "none that Redis knows of" if ago_s is None else f"{_duration(ago_s)} ago"
    late = ago_s is None or ago_s > UNSWEPT_S
    advice = "; run each minute: ckan hdxjobs sweep (its output tells if it cannot finish)" if late else ""
    yield Finding("last sweep", ok=not late, detail=ran + advice)


def _orphans() -> Iterable[Finding]:
    orphans = publish.resource_ids(config.geo_settings().loader_url) - backlog.resource_ids()
    advice = "; run: ckan hdxjobs purge-orphans" if orphans else ""
    yield Finding(
        "orphans", ok=not orphans, detail=f"{len(orphans)} resources with tables and no preview{advice}"
    )


def _disks() -> Iterable[Finding]:
    settings = config.geo_settings()
    needed = settings.max_download_bytes + workplace.SPARE_BYTES
    yield probes.disk("disk: work folder", settings.work_folder, least_bytes=needed)
    storage = config.storage_folder()
    if storage is not None:
        yield probes.disk("disk: storage", storage, least_bytes=STORAGE_BYTES)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


#: By the part that is named when a probe cannot be made; in the order in which they are told.
PROBES: dict[str, Callable[[], Iterable[Finding]]] = {
    "map database": _map_database,
    "Redis": _redis,
    queues.GEO: _geo_queue,
    queues.ANALYTICS: _analytics_queue,
    "previews waiting": _previews,
    "last sweep": _sweep,
    "orphans": _orphans,
    "disk": _disks,
}
#: One reads all that there is; and the disks of a web server need not be those of the workers.
UNPOLLED = frozenset({"orphans", "disk"})
