"""The sysadmins' pages, as tabs of ``/ckan-admin``: how previews are made, where events go, who asks for tiles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import ckan.plugins.toolkit as tk
import psycopg2
import redis
import sqlalchemy as sa
from flask_babel import format_timedelta

from ckanext.hdxjobs import config, queues, replies, workers
from ckanext.hdxjobs.analytics import capture, report
from ckanext.hdxjobs.errors import FAILURES
from ckanext.hdxjobs.geopreview import backlog, demand, footfall, record, survey, sweep
from ckanext.hdxjobs.geopreview.preview import needs_migration

#: Days that the pages about tiles look back.
DAYS = 7
#: Layers on the page; the shell tells of all.
LAYERS = 50
#: Previews under way on the page, and those with one error on theirs.
RUNNING = 50
FAILED = 100
#: Seconds that one press of a button may take.
RETRY_S = 10.0


def events_page() -> Any:
    """How the sinks fare."""
    _sysadmins_only()
    try:
        shown, trouble = report.make(config.analytics_settings()), None
    except psycopg2.Error as error:
        shown, trouble = None, capture.describe(error)
    shown_as = {"report": shown, "trouble": trouble, "duration": _duration}
    return tk.render("admin/hdxjobs_events.html", shown_as)


def tiles_page() -> Any:
    """The layers whose tiles are asked for most."""
    _sysadmins_only()
    footfall.flush()
    try:
        shown, trouble = demand.of_site(days=DAYS, limit=LAYERS), None
    except (redis.RedisError, OSError) as error:
        shown, trouble = None, type(error).__name__
    return tk.render("admin/hdxjobs_tiles.html", {"report": shown, "trouble": trouble, "days": DAYS})


def jobs_page() -> Any:
    """Queues, workers, previews under way and those that failed."""
    _sysadmins_only()
    try:
        shown, trouble = _jobs(), None
    except sa.exc.SQLAlchemyError as error:
        shown, trouble = None, record.MIGRATE if needs_migration(error) else type(error).__name__
    shown_as = {"report": shown, "trouble": trouble, "duration": _duration}
    return tk.render("admin/hdxjobs_jobs.html", shown_as)


def _jobs() -> dict[str, Any]:
    return {
        "faults": survey.faults(),
        "swept_s": _swept_s(),
        "queues": [_queue(name) for name in (queues.GEO, queues.ANALYTICS)],
        "counts": {state.value: count for state, count in backlog.counts().items()},
        "queue": backlog.queue(silent_s=sweep.SILENT_S),
        "running": backlog.running(limit=RUNNING),
        "silent_s": sweep.SILENT_S,
        "failures": [asdict(one) | {"message": _message(one.code, {})} for one in backlog.failures()],
    }


def _swept_s() -> float | None:
    """Since the last sweep; None when nobody knows."""
    try:
        return queues.noted_s(sweep.SWEPT)
    except (redis.RedisError, OSError):
        return None


def _queue(name: str) -> dict[str, Any]:
    try:
        return {"name": name, "look": workers.look(name), "trouble": None}
    except (redis.RedisError, OSError) as error:
        return {"name": name, "look": None, "trouble": type(error).__name__}


def _message(code: str, params: Mapping[str, Any]) -> str:
    """What publishers read; "" for an error of another release."""
    failure = FAILURES.get(code)
    return record.visitors_language().say(failure.message, params) if failure else ""


def _duration(seconds: float) -> str:
    """In words, in the visitor's language: "3 minutes"."""
    return format_timedelta(timedelta(seconds=int(seconds)))


def failed_page(code: str) -> Any:
    """The previews with one error, and what their publishers read."""
    _sysadmins_only()
    try:
        counts = [one.count for one in backlog.failures() if one.code == code]
        found = backlog.with_error(code, limit=FAILED)
    except sa.exc.SQLAlchemyError:
        return jobs_page()
    if not counts and code not in FAILURES:
        return tk.abort(404, tk._("There is no such error"))
    failed = [asdict(one) | {"message": _message(code, one.params or {})} for one in found]
    more = max(0, sum(counts) - len(failed))
    return tk.render(
        "admin/hdxjobs_failed.html", {"code": code, "failed": failed, "more": more, "known": code in FAILURES}
    )


def retry_failed(code: str) -> Any:
    """Ask again for all previews that ended with an error; what takes too long is left for the next time."""
    replies.refuse_forged()
    _sysadmins_only()
    resource_ids = backlog.failed(code)
    until = time.monotonic() + RETRY_S
    asked = 0
    for asked_again in backlog.ask_again(resource_ids):
        asked += asked_again
        if time.monotonic() > until:
            break
    tk.h.flash_success(
        tk._("Previews that are made again: {number} of {total}").format(
            number=asked, total=len(resource_ids)
        )
    )
    return tk.redirect_to("hdxjobs.jobs_page")


def layer_tiles_page(layer_id: str) -> Any:
    """One layer, by zoom."""
    _sysadmins_only()
    footfall.flush()
    try:
        shown, trouble = demand.of_layer(layer_id, days=DAYS), None
    except (redis.RedisError, OSError) as error:
        shown, trouble = None, type(error).__name__
    if not shown and not trouble:
        return tk.abort(404, tk._("Nobody asked for tiles of this layer lately"))
    return tk.render("admin/hdxjobs_layer_tiles.html", {"report": shown, "trouble": trouble, "days": DAYS})


def _sysadmins_only() -> None:
    """Anybody else gets 403."""
    try:
        tk.check_access("sysadmin", {"user": tk.current_user.name})
    except tk.NotAuthorized:
        tk.abort(403, tk._("Need to be system administrator to administer"))
