"""The janitor: rings again for what waits, takes back what a dead worker held, drops what is not wanted.

Stateless and safe to run many times at once: each change checks again what was read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.errors import LoadError
from ckanext.hdxjobs.geopreview import (
    attempt,
    hooks,
    mirror,
    publish,
    record,
    sharing,
    tiles,
    upkeep,
    workplace,
)
from ckanext.hdxjobs.geopreview.attempt import Claim
from ckanext.hdxjobs.geopreview.preview import engine
from ckanext.hdxjobs.geopreview.remedies import MAX_LOST_JOBS
from ckanext.hdxjobs.geopreview.values import Outcome, State

log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a worker counts as dead.
SILENT_S = 45
#: Seconds after a ring after which the bell may have been lost.
UNHEARD_S = 60
#: Seconds that an old generation's tables stay for requests under way.
GRACE_S = 600
#: Seconds in which a work folder may be there and not locked, because it is new or of an older release.
YOUNG_S = 300
#: Seconds after which a job that ended a preview has told its resource, or died; and in which that is looked for.
UNTOLD_S = 60
UNTOLD_WITHIN_S = 86_400
#: Rows taken at a time.
BATCH = 1000
#: Seconds between two sweeps by workers, all of them together.
SOMETIMES_S = 30
#: What the end of a round is noted as, for those who ask when it last was.
SWEPT = "sweep"


@dataclass(frozen=True)
class Swept:
    """What a sweep did: numbers of previews, tables, folders, and resources that tile servers got or lost."""

    rung: int = 0
    lost: int = 0
    told: int = 0
    orphans: int = 0
    retired: int = 0
    tables: int = 0
    folders: int = 0
    shared: int = 0
    unshared: int = 0


def run() -> Swept:
    """One round.

    :raises PreviewError: the map database is away; all that needs none is done by then
    """
    settings = config.geo_settings()
    lost = _take_back()
    told = _tell()
    orphans = len(upkeep.drop_orphans())
    rung = _ring()
    folders = workplace.drop_left(settings.work_folder, older_than_s=settings.job_timeout_s, young_s=YOUNG_S)
    shared, unshared = sharing.reconcile(settings.loader_url)
    told += _list_again(settings)
    retired = _retire(settings.loader_url)
    tables = _drop_staged(settings.loader_url)
    tables += publish.drop_old(dsn=settings.loader_url, grace_s=GRACE_S)
    queues.note(SWEPT)
    return Swept(rung, lost, told, orphans, retired, tables, folders, shared, unshared)


def run_sometimes() -> None:
    """A round at the end of a job, unless there was one a moment ago; never fails the job."""
    if not queues.first_in(SOMETIMES_S, what="sweep"):
        return
    try:
        run()
    except Exception as error:
        log.warning("The sweep after a job was cut short: %s", type(error).__name__)


def _take_back() -> int:
    """Previews whose worker died: another attempt, or the end of patience."""
    requeued = upkeep.requeue_lost(silent_s=SILENT_S, max_deaths=MAX_LOST_JOBS)
    hopeless = upkeep.lost_for_good(silent_s=SILENT_S, max_deaths=MAX_LOST_JOBS)
    for row in hopeless:
        claim = Claim(row["resource_id"], row["generation"], row["attempt"])
        attempt.fail(claim, LoadError("internal"))
        mirror.refresh(row["resource_id"])
        log.warning("Preview of %s: given up, %s workers died over it", row["resource_id"], MAX_LOST_JOBS)
    return requeued + len(hopeless)


def _tell() -> int:
    """Previews whose worker died between the end and telling the resource of it."""
    rows = upkeep.untold(after_s=UNTOLD_S, within_s=UNTOLD_WITHIN_S, limit=BATCH)
    for row in rows:
        if row["state"] == State.READY.value:
            mirror.ensure_view(row["resource_id"])
        mirror.refresh(row["resource_id"])
    return len(rows)


def _ring() -> int:
    """Ring for rows whose bell is neither heard nor under way."""
    rows = upkeep.unrung(silent_s=UNHEARD_S, limit=BATCH)
    if not rows:
        return 0
    try:
        waiting = queues.waiting_keys(queues.GEO)
    except redis.RedisError as error:
        log.warning("Redis does not answer (%s); %s previews go on waiting", type(error).__name__, len(rows))
        return 0
    rung = 0
    for row in rows:
        if hooks.bell_key(row["resource_id"], row["generation"]) in waiting or not upkeep.rung(row):
            continue
        if not queues.ring(hooks.bell(row["resource_id"], row["generation"])):
            record.unring([row["resource_id"]])
            break
        rung += 1
    return rung


def _retire(dsn: str) -> int:
    rows = upkeep.unretired(limit=BATCH)
    for row in rows:
        publish.retire(resource_id=row["resource_id"], generation=row["generation"], dsn=dsn)
        upkeep.retired(row)
    return len(rows)


def _drop_staged(dsn: str) -> int:
    """Tables that a killed or overtaken import left, and whose own generation nobody makes any more."""
    left = publish.staged(dsn)
    left -= upkeep.awaited({resource_id for resource_id, _ in left})
    return sum(
        publish.discard(resource_id=resource_id, generation=generation, dsn=dsn)
        for resource_id, generation in sorted(left)
    )


def _list_again(settings: config.GeoSettings) -> int:
    """Previews that were cancelled and published all the same, by a worker that died before it told so.

    The tables of the layers that they list will be dropped.
    """
    relisted = 0
    reader = tiles.TileReader(settings.loader_url, settings.job_timeout_s)
    for row in upkeep.cancelled(after_s=UNTOLD_S, within_s=UNTOLD_WITHIN_S, limit=BATCH):
        claim = Claim(row["resource_id"], row["generation"], row["attempt"])
        layer_ids = publish.served(
            resource_id=claim.resource_id, generation=claim.generation, dsn=settings.loader_url
        )
        tile_sets = tuple(filter(None, map(reader.layer, layer_ids)))
        if tile_sets and attempt.succeed(claim, Outcome(tile_sets, ())):
            mirror.refresh(claim.resource_id)
            relisted += 1
    reader.close()
    return relisted


def purge_orphans(*, dry_run: bool) -> Iterator[str]:
    """Drop the tables of resources that have no preview any more, whoever left them; their ids, one by one.

    :raises PreviewError: the map database is away
    """
    dsn = config.geo_settings().loader_url
    doomed: set[str] = set()
    if dry_run:
        with engine().connect() as connection:
            doomed.update(upkeep.orphans(connection))
    else:
        upkeep.drop_orphans()
    for resource_id in sorted(publish.resource_ids(dsn)):
        row = record.find(resource_id)
        is_alive = row is not None and row["state"] != State.DELETED.value
        if is_alive and resource_id not in doomed:
            continue
        if not dry_run:
            newest = publish.newest(resource_id=resource_id, dsn=dsn)
            publish.retire(resource_id=resource_id, generation=newest, dsn=dsn)
        yield resource_id
