"""The sysadmins' pages, as tabs of ``/ckan-admin``: where events go, who asks for which tiles."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import psycopg2
import redis

from ckanext.hdxjobs import config
from ckanext.hdxjobs.analytics import capture, report
from ckanext.hdxjobs.geopreview import demand, footfall

#: Days that the pages about tiles look back.
DAYS = 7
#: Layers on the page; the shell tells of all.
LAYERS = 50


def events_page() -> Any:
    """How the sinks fare."""
    _sysadmins_only()
    try:
        shown, trouble = report.make(config.analytics_settings()), None
    except psycopg2.Error as error:
        shown, trouble = None, capture.describe(error)
    return tk.render("admin/hdxjobs_events.html", {"report": shown, "trouble": trouble})


def tiles_page() -> Any:
    """The layers whose tiles are asked for most."""
    _sysadmins_only()
    footfall.flush()
    try:
        shown, trouble = demand.of_site(days=DAYS, limit=LAYERS), None
    except (redis.RedisError, OSError) as error:
        shown, trouble = None, type(error).__name__
    return tk.render("admin/hdxjobs_tiles.html", {"report": shown, "trouble": trouble, "days": DAYS})


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
