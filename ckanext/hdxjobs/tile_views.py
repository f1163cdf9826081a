"""The URL door of tiles: tiles, TileJSON, and whether they can be served.

Every request is authorised like ``resource_show`` (``geopreview/gate.py``): what a visitor may not see
answers byte for byte like what does not exist.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import ckan.plugins.toolkit as tk
from flask import Blueprint, Response
from werkzeug.wrappers import Request

from ckanext.hdxjobs import config, replies
from ckanext.hdxjobs.errors import BadFilter, PoolBusy
from ckanext.hdxjobs.geopreview import cql, credits, footfall, gate, shelf, tiles
from ckanext.hdxjobs.geopreview.gate import Admission
from ckanext.hdxjobs.geopreview.values import Tile
from ckanext.hdxjobs.replies import OwnResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

hdxjobs_tiles = Blueprint("hdxjobs_tiles", __name__)

MVT = "application/vnd.mapbox-vector-tile"

#: A tile's URL carries its version, so that it never changes; a day limits what a wrong one can do.
TILE_MAX_AGE_S = 24 * 3600
#: Until a layer is prepared its tiles are samples, and better ones come within seconds.
PREVIEW_MAX_AGE_S = 10
#: TileJSON names the live version.
TILEJSON_MAX_AGE_S = 60

#: The deepest zoom that a tile may be asked for; coordinates fit a 32-bit integer.
MAX_ZOOM = 24

_PREFIX = "/hdxjobs/tiles/"
_ADDRESS = re.compile(_PREFIX + r"([0-9a-f]{20})/(\d{1,9})/(\d{1,9})/(\d{1,9})/(\d{1,9})\.mvt", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
#: What a query may ask for.
_OPTIONS = frozenset({"fields", "filter", "filter-lang"})
_LAYER_ID = re.compile(r"[0-9a-f]{20}", re.ASCII)


@hdxjobs_tiles.route("/hdxjobs/tiles/<layer_id>/<version>/<z>/<x>/<y>.mvt")
def tile(layer_id: str, version: str, z: str, x: str, y: str) -> Response:
    """A vector tile; 204 where nothing is, 404 for a layer or version that is not served.

    Query: fields, filter, filter-lang (see docs/tiles.rst).
    """
    place = _place(z, x, y)
    if place is None:
        return _no_place()
    began_s = time.perf_counter()
    try:
        admission = _admit(layer_id)
    except PoolBusy as error:
        return _busy(layer_id, error)
    if admission is None or not _NUMBER.fullmatch(version):
        return _not_found()
    return _counted(admission, int(version), place, tk.request, began_s)


def _counted(
    admission: Admission, version: int, place: tuple[int, int, int], request: Request, began_s: float
) -> Response:
    source, answer = _read(admission, version, place, request)
    # Only of tiles that there are: what visitors make up would fill the statistics.
    if source is None:
        return answer
    return footfall.note(answer, admission.tile_set.layer_id, place, source=source, began_s=began_s)


def _read(
    admission: Admission, version: int, place: tuple[int, int, int], request: Request
) -> tuple[str | None, Response]:
    """The answer, and where the tile came from as the statistics tell it; None: there is no such tile."""
    layer_id = admission.tile_set.layer_id
    try:
        found = _reader(config.tile_settings()).tile(
            layer_id, version, *place, options=_options(request.args)
        )
    except BadFilter as error:
        return None, replies.text(400, str(error))
    except PoolBusy as error:
        return "busy", _busy(layer_id, error)
    if found is None:
        return None, _not_found()
    return "memory" if found.is_from_memory else found.state, _tile(found, admission, request)


@hdxjobs_tiles.route("/hdxjobs/tiles/<layer_id>.json")
def tilejson(layer_id: str) -> Response:
    """TileJSON 3 of a layer's live version."""
    try:
        admission = _admit(layer_id, anew=True)
    except PoolBusy as error:
        return _busy(layer_id, error)
    return _not_found() if admission is None else _tilejson(admission)


@hdxjobs_tiles.route("/hdxjobs/health")
def health() -> Response:
    """Whether this process can serve tiles, for whoever watches the site; the log says why not."""
    try:
        _reader(config.tile_settings()).ping()
    except PoolBusy as error:
        log.warning("Tiles cannot be served now: %s", error)
        return replies.busy('{"map_database": "unavailable"}', mimetype="application/json")
    return replies.text(200, '{"map_database": "ok"}', mimetype="application/json")


class Shortcut:
    """A tile of a layer that everybody was allowed to see within the last second is sent before CKAN looks at the
    request at all, and so is the answer that there is none or that the map database is busy: a crowd on one map costs
    the site's pages little.

    Whatever else is asked for goes the usual way: so do tiles with options, which cost the most and which extensions
    that limit requests have to see.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = None
        if environ.get("PATH_INFO", "").startswith(_PREFIX):
            try:
                answer = _at_once(Request(environ))
            except Exception:
                # What it comes to is told by CKAN, as of any page.
                log.exception("A tile could not be sent at once")
        return (answer or self._app)(environ, start_response)


def _at_once(request: Request) -> Response | None:
    began_s = time.perf_counter()
    address = _ADDRESS.fullmatch(request.path)
    if address is None or request.method not in {"GET", "HEAD"} or not _OPTIONS.isdisjoint(request.args):
        return None
    layer_id, version, *numbers = address.groups()
    admission = gate.public(layer_id)
    if admission is None:
        return None
    place = _place(*numbers)
    return _counted(admission, int(version), place, request, began_s) if place else _no_place()


def _admit(layer_id: str, *, anew: bool = False) -> Admission | None:
    if not _LAYER_ID.fullmatch(layer_id):
        return None
    return gate.admit(layer_id, _reader(config.tile_settings()), anew=anew)


def _options(asked: Mapping[str, str]) -> str | None:
    return cql.options(
        fields=asked.get("fields"), filter_=asked.get("filter"), language=asked.get("filter-lang")
    )


def _tile(found: Tile, admission: Admission, request: Request) -> Response:
    """The tile as it is kept, compressed; unpacked for the few that cannot read that."""
    answer = OwnResponse(mimetype=MVT) if found.content else OwnResponse(status=204)
    packed = found.is_packed and replies.takes_gzip(request)
    answer.set_data(found.content if packed else found.body)
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.headers["X-Tile"] = f"{found.state}; dropped={found.dropped}" if found.dropped else found.state
    # A visitor let in after the layer was prepared may share a tile that was begun before.
    lasting = admission.tile_set.is_prepared and found.state != "preview"
    _date(answer, admission, TILE_MAX_AGE_S, lasting=lasting, immutable=True)
    return replies.with_etag(answer, found.digest, request)


def _tilejson(admission: Admission) -> Response:
    tile_set = admission.tile_set
    url: str = tk.url_for(
        "hdxjobs_tiles.tilejson", layer_id=tile_set.layer_id, qualified=True, locale="default"
    )
    template = f"{url.removesuffix('.json')}/{tile_set.generation}/{{z}}/{{x}}/{{y}}.mvt"
    told = tiles.tilejson(tile_set, tiles_url=template, attribution=credits.attribution(tile_set.resource_id))
    body = json.dumps(told, ensure_ascii=False).encode()
    answer = OwnResponse(mimetype="application/json")
    packed = len(body) >= shelf.WORTHWHILE_BYTES and replies.takes_gzip(tk.request)
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.set_data(shelf.squeezed(body) if packed else body)
    _date(answer, admission, TILEJSON_MAX_AGE_S, lasting=tile_set.is_prepared)
    return replies.with_etag(answer, hashlib.sha256(body).hexdigest()[:32], tk.request)


def _date(
    answer: OwnResponse, admission: Admission, max_age_s: int, *, lasting: bool, immutable: bool = False
) -> None:
    """For how long an answer is good, who may keep it, and that other sites may use it if this one wants that.

    What nobody may keep has an age too while the layer is prepared: maps ask again for what has expired.
    """
    age = f"max-age={max_age_s if lasting else min(max_age_s, PREVIEW_MAX_AGE_S)}"
    if admission.is_public:
        answer.caching = f"public, {age}" + ", immutable" * (immutable and lasting)
    elif not lasting:
        answer.caching = f"{answer.caching}, {age}"
    if admission.is_public and config.tile_settings().other_sites:
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Access-Control-Expose-Headers"] = "ETag, X-Tile"


def _no_place() -> Response:
    return replies.text(400, f"z must be 0 to {MAX_ZOOM}, x and y 0 to 2^z - 1")


def _not_found() -> Response:
    return replies.text(404, "Not found")


def _busy(layer_id: str, error: PoolBusy) -> Response:
    log.warning("Layer %s cannot be served now: %s", layer_id, error)
    return replies.busy("The map database is busy")


def _place(z: str, x: str, y: str) -> tuple[int, int, int] | None:
    """The numbers of a tile, or None: no such tile can exist."""
    if not all(_NUMBER.fullmatch(number) for number in (z, x, y)):
        return None
    zoom, column, row = int(z), int(x), int(y)
    if zoom > MAX_ZOOM or max(column, row) >= 2**zoom:
        return None
    return zoom, column, row


@functools.lru_cache(maxsize=4)
def _reader(settings: config.TileSettings) -> tiles.TileReader:
    """One pool a process; another one when the settings change."""
    return tiles.TileReader(
        settings.tiles_url, settings.statement_timeout_s, memory_bytes=settings.memory_bytes
    )
