"""The URL door: tiles, TileJSON, the map's files, the status panel and its retry; browsers' events; sysadmins' pages.

Every request is authorised like ``resource_show`` before anything is said: what a visitor may not see
answers byte for byte like what does not exist.  Uploads are only for workers.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from flask import Blueprint, Response, current_app, g
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import Headers

from ckanext.hdxjobs import config, files, sysadmin
from ckanext.hdxjobs.analytics import beacon
from ckanext.hdxjobs.errors import PoolBusy
from ckanext.hdxjobs.geopreview import footfall, handover, permit, record, tiles
from ckanext.hdxjobs.geopreview.values import TileSet

log = logging.getLogger(__name__)

hdxjobs = Blueprint("hdxjobs", __name__)

MVT = "application/vnd.mapbox-vector-tile"

#: A tile's URL carries its version, so that it never changes; a day limits what a wrong one can do.
TILE_MAX_AGE_S = 24 * 3600
#: Until a layer is prepared its tiles are samples, and better ones come within seconds.
PREVIEW_MAX_AGE_S = 10
#: TileJSON names the live version.
TILEJSON_MAX_AGE_S = 60
#: A year; the file's URL changes with its content.
FILE_MAX_AGE_S = 365 * 24 * 3600
#: Seconds after which a client may ask a busy map database again.
RETRY_AFTER_S = 5

#: The deepest zoom that a tile may be asked for; coordinates fit a 32-bit integer.
MAX_ZOOM = 24

#: Bytes from which compressing pays.
GZIP_FROM_BYTES = 860

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_LAYER_ID = re.compile(r"[0-9a-f]{20}", re.ASCII)


class TileResponse(Response):
    """A response that keeps its caching headers: CKAN writes its own over those of all pages."""

    caching = "private, no-store"

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["Cache-Control"] = self.caching
        headers["Vary"] = "Accept-Encoding"
        headers.remove("Set-Cookie")
        return headers


@hdxjobs.route("/hdxjobs/tiles/<layer_id>/<version>/<z>/<x>/<y>.mvt")
def tile(layer_id: str, version: str, z: str, x: str, y: str) -> Response:
    """A vector tile; 204 where nothing is, 404 for a layer or version that is not served."""
    place = _place(z, x, y)
    if place is None:
        return _text(400, f"z must be 0 to {MAX_ZOOM}, x and y 0 to 2^z - 1")
    return _served(layer_id, lambda tile_set, public: _tile(tile_set, version, place, public=public))


@hdxjobs.route("/hdxjobs/tiles/<layer_id>.json")
def tilejson(layer_id: str) -> Response:
    """TileJSON 3 of a layer's live version."""
    return _served(layer_id, _tilejson)


@hdxjobs.route("/hdxjobs/health")
def health() -> Response:
    """Whether this process can serve tiles, for whoever watches the site; the log says why not."""
    try:
        _reader(config.tile_settings()).ping()
    except PoolBusy as error:
        log.warning("Tiles cannot be served now: %s", error)
        return _busy('{"map_database": "unavailable"}', mimetype="application/json")
    return TileResponse('{"map_database": "ok"}\n', mimetype="application/json")


@hdxjobs.route("/hdxjobs/upload/<resource_id>")
def upload(resource_id: str) -> Response:
    """An upload, for a worker with a permit; whoever has none learns nothing, not even whether it exists."""
    answer = handover.download(resource_id, permit_shown=tk.request.headers.get(permit.HEADER, ""))
    return answer or _text(403, "Only workers of this site are served here")


@hdxjobs.route("/hdxjobs/<path:name>")
def page_file(name: str) -> Response:
    """A script, style sheet or piece of land of the map page, compressed and kept by the browser."""
    file = files.find(name)
    if file is None:
        return _text(404, "Not found")
    answer = TileResponse(mimetype=file.mimetype)
    # Another server of this site may still run the release before: what it sends must not be kept.
    lasting = name.startswith(files.MAPLIBRE_FOLDER) or tk.request.args.get("v") == files.version()
    answer.caching = f"public, max-age={FILE_MAX_AGE_S}, immutable" if lasting else "no-cache"
    packed = bool(tk.request.accept_encodings["gzip"])
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.set_data(file.packed if packed else file.body)
    answer.set_etag(file.digest + "-gzip" * packed)
    answer.make_conditional(tk.request.environ)
    return answer


@hdxjobs.route("/dataset/<id>/resource/<resource_id>/preview-status")
def preview_status(id: str, resource_id: str) -> Response:
    """The status panel's inside, as HTML; the state in a header."""
    preview = preview_of(resource_id) if _may_see(resource_id) else None
    if preview is None:
        return _text(404, "Not found")
    answer = Response(tk.render("hdxjobs/status.html", {"preview": preview, "package_id": id}))
    answer.cache_control.no_store = True
    tk.request.environ["__no_cache__"] = True
    answer.headers["X-Hdxjobs-State"] = preview["state"]
    return answer


@hdxjobs.route("/dataset/<id>/resource/<resource_id>/preview-retry", methods=["POST"])
def preview_retry(id: str, resource_id: str) -> Any:
    """An editor wants the preview made again."""
    _refuse_forged()
    try:
        tk.get_action("hdx_geopreview_submit")(
            {"user": tk.current_user.name}, {"id": resource_id, "force": True}
        )
    except tk.ObjectNotFound:
        return tk.abort(404, tk._("Resource not found"))
    except tk.NotAuthorized:
        return tk.abort(403, tk._("You may not change this resource"))
    if tk.request.headers.get("X-Requested-With") == "fetch":
        return Response(status=204)
    return tk.redirect_to("resource.read", id=id, resource_id=resource_id)


def _refuse_forged() -> None:
    """Browsers have to bring the page's CSRF token; programs have one of their own in the header.

    CKAN's check is not enough: 2.11 leaves extensions out, and 2.11 and 2.12 exempt a page for all visitors
    of a process once a program has called it.
    """
    if current_app.config["WTF_CSRF_ENABLED"] and not g.get("login_via_auth_header"):
        CSRFProtect().protect()


@hdxjobs.route("/hdxjobs/events", methods=["POST"])
def events() -> Response:
    """Where browsers report events; see ``analytics/beacon.py`` for what it takes."""
    status, reason = beacon.receive(tk.request)
    return Response(f"{reason}\n" if reason else "", status=status, mimetype="text/plain")


@hdxjobs.record_once
def _exempt_from_csrf_tokens(_state: Any) -> None:
    # A beacon cannot carry a token reliably; the endpoint tells forged ones by their origin.
    from ckan.config.middleware.flask_app import csrf  # noqa: PLC0415 it imports us

    csrf.exempt(events)


for path, page in {
    "hdxjobs-events": sysadmin.events_page,
    "hdxjobs-tiles": sysadmin.tiles_page,
    "hdxjobs-tiles/<layer_id>": sysadmin.layer_tiles_page,
}.items():
    hdxjobs.add_url_rule(f"/ckan-admin/{path}", view_func=page)


def preview_of(resource_id: str) -> dict[str, Any] | None:
    """The preview's status in the reader's language, or None."""
    return record.status(resource_id)


def can_view(resource_id: str) -> bool:
    """Whether there is a map to look at."""
    row = record.find(resource_id)
    return bool(row and row["layers"])


def _served(layer_id: str, answer: Callable[[TileSet, bool], Response]) -> Response:
    """Answer for a layer that exists and that the visitor may see."""
    if not _LAYER_ID.fullmatch(layer_id):
        return _text(404, "Not found")
    try:
        tile_set = _reader(config.tile_settings()).layer(layer_id)
        if tile_set is None or not record.is_served(tile_set.resource_id):
            return _text(404, "Not found")
        public = _may_see(tile_set.resource_id, anonymous=True)
        if not public and not _may_see(tile_set.resource_id):
            return _text(404, "Not found")
        return answer(tile_set, public)
    except PoolBusy as error:
        return _turned_away(layer_id, error)


def _tile(tile_set: TileSet, version: str, place: tuple[int, int, int], *, public: bool) -> Response:
    began_s = time.perf_counter()
    if not _NUMBER.fullmatch(version):
        return _text(404, "Not found")
    try:
        found = _reader(config.tile_settings()).tile(tile_set.layer_id, int(version), *place)
    except PoolBusy as error:
        answer = _turned_away(tile_set.layer_id, error)
        return footfall.note(answer, tile_set.layer_id, place, source="busy", began_s=began_s)
    if found is None:
        return _text(404, "Not found")
    key = "/".join(map(str, (tile_set.layer_id, version, *place)))
    max_age_s = TILE_MAX_AGE_S if tile_set.is_prepared else PREVIEW_MAX_AGE_S
    answer = _cached(found.body, key=key, mimetype=MVT, max_age_s=max_age_s, public=public)
    answer.headers["X-Tile"] = f"{found.state}; dropped={found.dropped}" if found.dropped else found.state
    return footfall.note(answer, tile_set.layer_id, place, source=found.state, began_s=began_s)


def _tilejson(tile_set: TileSet, public: bool) -> Response:
    url: str = tk.url_for("hdxjobs.tilejson", layer_id=tile_set.layer_id, qualified=True, locale="default")
    template = f"{url.removesuffix('.json')}/{tile_set.generation}/{{z}}/{{x}}/{{y}}.mvt"
    body = json.dumps(tiles.tilejson(tile_set, tiles_url=template), ensure_ascii=False).encode()
    return _cached(
        body, key=tile_set.layer_id, mimetype="application/json", max_age_s=TILEJSON_MAX_AGE_S, public=public
    )


def _cached(body: bytes, *, key: str, mimetype: str, max_age_s: int, public: bool) -> Response:
    """The body with its ETag, compressed if the client can read that; 304 if it has it, 204 if it is empty."""
    answer = TileResponse(mimetype=mimetype) if body else TileResponse(status=204)
    if public:
        answer.caching = f"public, max-age={max_age_s}"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Access-Control-Expose-Headers"] = "ETag, X-Tile"
    etag = hashlib.sha256(key.encode() + b"\0" + body).hexdigest()[:32]
    if len(body) >= GZIP_FROM_BYTES and tk.request.accept_encodings["gzip"]:
        etag += "-gzip"
        body = gzip.compress(body, compresslevel=6, mtime=0)
        answer.headers["Content-Encoding"] = "gzip"
    answer.set_data(body)
    answer.set_etag(etag)
    answer.make_conditional(tk.request.environ)
    return answer


def _turned_away(layer_id: str, error: PoolBusy) -> Response:
    log.warning("Layer %s cannot be served now: %s", layer_id, error)
    return _busy("The map database is busy")


def _busy(text: str, mimetype: str = "text/plain") -> Response:
    """503: come back in a moment."""
    answer = TileResponse(text + "\n", status=503, mimetype=mimetype)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _text(status: int, text: str) -> Response:
    """A plain answer that tells nothing about who asked for what."""
    return TileResponse(text + "\n", status=status, mimetype="text/plain")


def _place(z: str, x: str, y: str) -> tuple[int, int, int] | None:
    """The numbers of a tile, or None: no such tile can exist."""
    if not all(_NUMBER.fullmatch(number) for number in (z, x, y)):
        return None
    zoom, column, row = int(z), int(x), int(y)
    if zoom > MAX_ZOOM or max(column, row) >= 2**zoom:
        return None
    return zoom, column, row


def _may_see(resource_id: str, *, anonymous: bool = False) -> bool:
    """What ``resource_show`` says of this visitor, or of one who is not logged in."""
    user = "" if anonymous else tk.current_user.name
    try:
        tk.check_access("resource_show", {"user": user, "session": model.Session}, {"id": resource_id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return False
    return True


@functools.lru_cache(maxsize=4)
def _reader(settings: config.TileSettings) -> tiles.TileReader:
    """One pool a process; another one when the settings change."""
    return tiles.TileReader(settings.tiles_url, settings.statement_timeout_s)
