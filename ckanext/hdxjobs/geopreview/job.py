"""The hallway itself: one import from the bell to the recorded outcome.

The only module that knows the order of the steps, owns the work folder and judges what an error means.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ckan import model
from rq.timeouts import JobTimeoutException

from ckanext.hdxjobs import config, workers
from ckanext.hdxjobs.errors import DetectError, LoadError, PreviewError, Superseded
from ckanext.hdxjobs.geopreview import (
    attempt,
    detect,
    encore,
    fetch,
    layers,
    lock,
    mirror,
    prepare,
    publish,
    rules,
    sharing,
    source,
    sweep,
    tether,
    tiles,
    workplace,
)
from ckanext.hdxjobs.geopreview.attempt import Claim
from ckanext.hdxjobs.geopreview.pulse import Pulse, tell_step
from ckanext.hdxjobs.geopreview.reader import Limits, Readers
from ckanext.hdxjobs.geopreview.values import (
    Amount,
    Download,
    Notice,
    Outcome,
    Phase,
    Progress,
    State,
    Table,
    TileSet,
)

log = logging.getLogger(__name__)

#: Seconds after which a layer that is not prepared has lost its worker, and how often preparing is tried.
UNPREPARED_S = 3600
MAX_PREPARE_ATTEMPTS = 3


def run_preview(resource_id: str, generation: int) -> None:
    """Make a preview, and some more if they wait; what the bell on geo_q calls."""
    if not tether.die_with_worker():
        log.warning("Preview of %s: its worker died before it began", resource_id)
        return
    workers.sign_in()
    began = time.monotonic()
    settings = config.geo_settings()
    if _preview(resource_id, generation, settings=settings):
        for arguments in encore.bells(since=began):
            model.Session.remove()
            if not _preview(*arguments, settings=settings):
                break
    sweep.run_sometimes()
    _catch_up(settings)


def _preview(resource_id: str, generation: int, *, settings: config.GeoSettings) -> bool:
    """Make one preview, or nothing when the row does not wait for it; False: this process had better end."""
    claim = attempt.claim(resource_id, generation)
    if claim is None:
        log.info("Preview of %s, generation %s: nothing to do", resource_id, generation)
        return True
    started = time.monotonic()
    try:
        with Pulse(claim) as pulse, lock.alone(resource_id, settings.loader_url) as require_lock:
            pulse.requires(require_lock)
            outcome = _import(claim, settings, pulse)
    except Superseded:
        _leave(claim, settings.loader_url)
    except PreviewError as error:
        _fail(claim, error, settings.loader_url)
    except JobTimeoutException:
        _fail(claim, LoadError("too-slow", limit=settings.job_timeout_s), settings.loader_url)
        return False
    except Exception:
        log.exception("Preview of %s, generation %s: unexpected failure", resource_id, generation)
        _fail(claim, LoadError("internal"), settings.loader_url)
        return False
    else:
        _succeed(claim, outcome, seconds=time.monotonic() - started)
        _prepare(outcome.tile_sets, settings.loader_url)
    return True


def _import(claim: Claim, settings: config.GeoSettings, pulse: Pulse) -> Outcome:
    if claim.attempt > 1:
        publish.discard(resource_id=claim.resource_id, generation=claim.generation, dsn=settings.loader_url)
    limits = Limits(
        timeout_s=settings.reader_timeout_s,
        memory_bytes=settings.reader_memory_bytes,
        sandbox=settings.sandbox,
        copy_bytes=settings.max_unpacked_bytes,
    )
    with (
        workplace.made(settings.work_folder) as folder,
        Readers(limits, preferred=settings.reader) as readers,
    ):
        download = _download(claim, settings, pulse, folder)
        try:
            tables, notices = _tables(download, settings, pulse, readers, folder / "first")
        except DetectError as error:
            if not readers.turn():
                raise
            log.warning("Preview of %s: %s in the middle, once more", claim.resource_id, error.code)
            publish.discard(
                resource_id=claim.resource_id, generation=claim.generation, dsn=settings.loader_url
            )
            try:
                tables, notices = _tables(download, settings, pulse, readers, folder / "second")
            except DetectError as again:
                raise error from again
        with pulse.phase(Phase.PUBLISH):
            tile_sets = publish.publish(
                tables, resource_id=claim.resource_id, generation=claim.generation, dsn=settings.loader_url
            )
            count = sum(tile_set.feature_count for tile_set in tile_sets)
            pulse.progress(Progress(count, count, "features"))
    return Outcome(tile_sets, (*notices, *(notice for table in tables for notice in table.notices)))


def _download(claim: Claim, settings: config.GeoSettings, pulse: Pulse, folder: Path) -> Download:
    with pulse.phase(Phase.FETCH):
        return fetch.fetch(
            source.find(claim.resource_id, claim.generation),
            folder=folder,
            max_bytes=settings.max_download_bytes,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
            deadline_s=settings.download_timeout_s,
            hosts_allowed=settings.link_hosts_allowed,
            proxy=settings.download_proxy,
            progress=pulse.progress,
        )


def _tables(
    download: Download, settings: config.GeoSettings, pulse: Pulse, readers: Readers, folder: Path
) -> tuple[list[Table], tuple[Notice, ...]]:
    """All that is loaded, and what is to be said about the file as a whole."""
    folder.mkdir(mode=0o700)
    with pulse.phase(Phase.DETECT, watched=readers.bytes_read):
        found, notices = detect.detect(
            download,
            folder=folder,
            max_unpacked_bytes=settings.max_unpacked_bytes,
            max_layers=settings.max_layers,
            formats=rules.chosen_formats(config.formats()),
            readers=readers,
        )
        pulse.progress(Progress(download.byte_count, download.byte_count, "bytes"))
    with pulse.phase(Phase.LOAD):
        caps = Amount(settings.max_features, settings.max_vertices, settings.max_table_bytes)
        tables, damaged = layers.load_all(
            found,
            dsn=settings.loader_url,
            caps=caps,
            max_columns=settings.max_columns,
            readers=readers,
            progress=pulse.progress,
        )
    return tables, (*notices, *damaged)


def _succeed(claim: Claim, outcome: Outcome, *, seconds: float) -> None:
    if not attempt.succeed(claim, outcome):
        log.info("Preview of %s, generation %s: superseded at the end", claim.resource_id, claim.generation)
        return
    log.info(
        "Preview of %s, generation %s: ready in %.2f s, %s layers, %s features",
        claim.resource_id,
        claim.generation,
        seconds,
        len(outcome.tile_sets),
        sum(tile_set.feature_count for tile_set in outcome.tile_sets),
    )
    began = time.monotonic()
    mirror.ensure_view(claim.resource_id)
    mirror.refresh(claim.resource_id)
    sharing.settle([claim.resource_id])
    tell_step(claim.resource_id, claim.generation, "mirror took", began)


def _prepare(tile_sets: tuple[TileSet, ...], dsn: str) -> None:
    """The second phase of publishing, while the layers serve: what it cannot do leaves them as they are."""
    began = time.monotonic()
    try:
        made = prepare.prepare(tile_sets, dsn=dsn)
    except Superseded:
        log.info("Preparing the layers of %s: overtaken", tile_sets[0].resource_id)
    except JobTimeoutException:
        log.warning("Preparing the layers of %s took too long", tile_sets[0].resource_id)
    except Exception:
        log.exception("Preparing the layers of %s failed", tile_sets[0].resource_id)
    else:
        count = sum(tile_set.feature_count for tile_set in tile_sets)
        tiles_, pieces, lists = (
            sum(getattr(one, what) for one in made) for what in ("tiles", "pieces", "lists")
        )
        amount = f", {count} features, {tiles_} tiles, {pieces} pieces, {lists} lists"
        tell_step(tile_sets[0].resource_id, tile_sets[0].generation, "prepare took", began, amount)


def _catch_up(settings: config.GeoSettings) -> None:
    """Prepare a layer whose worker died over it."""
    try:
        left = publish.unprepared(
            dsn=settings.loader_url, older_than_s=UNPREPARED_S, max_attempts=MAX_PREPARE_ATTEMPTS, limit=1
        )
    except PreviewError:
        return
    reader_ = tiles.TileReader(settings.loader_url, settings.job_timeout_s)
    for layer_id in left:
        tile_set = reader_.layer(layer_id)
        if tile_set is not None:
            _prepare((tile_set,), settings.loader_url)
    reader_.close()


def _fail(claim: Claim, error: PreviewError, dsn: str) -> None:
    """Record why, and leave nothing behind; what served before goes on serving unless it is no geodata now."""
    state = attempt.fail(claim, error)
    log.info(
        "Preview of %s, generation %s, attempt %s: %s (%s)",
        claim.resource_id,
        claim.generation,
        claim.attempt,
        state.value if state else "superseded",
        error.code,
    )
    _tidy(claim, dsn, everything=state is State.UNSUPPORTED)
    if state in (State.FAILED, State.UNSUPPORTED):
        mirror.refresh(claim.resource_id)


def _leave(claim: Claim, dsn: str) -> None:
    """Overtaken: clean up quietly.  If nobody did (this very generation is live or was buried), start afresh."""
    _tidy(claim, dsn, everything=False)
    again = attempt.again(claim, above=_newest(claim, dsn))
    log.info(
        "Preview of %s, generation %s: %s",
        claim.resource_id,
        claim.generation,
        "asked for again" if again else "superseded",
    )


def _newest(claim: Claim, dsn: str) -> int:
    try:
        return publish.newest(resource_id=claim.resource_id, dsn=dsn)
    except PreviewError:
        return claim.generation


def _tidy(claim: Claim, dsn: str, *, everything: bool) -> None:
    """Drop half-made tables; when the map database is away, the sweep does it later."""
    drop = publish.retire if everything else publish.discard
    try:
        drop(resource_id=claim.resource_id, generation=claim.generation, dsn=dsn)
    except PreviewError as error:
        log.warning(
            "Tables of %s, generation %s stay for the sweep: %s",
            claim.resource_id,
            claim.generation,
            error.code,
        )
