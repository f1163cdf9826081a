"""The URL door: the map's files, the status panel and its retry; browsers' events; sysadmins' pages.

Tiles have a door of their own, ``tile_views``.

Every request is authorised like ``resource_show`` before anything is said: what a visitor may not see
answers byte for byte like what does not exist.  Uploads are only for workers.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint, Response

from ckanext.hdxjobs import config, files, metrics, replies, sysadmin
from ckanext.hdxjobs.analytics import beacon
from ckanext.hdxjobs.geopreview import handover, permit, record, rights
from ckanext.hdxjobs.replies import OwnResponse

hdxjobs = Blueprint("hdxjobs", __name__)

#: A year; the file's URL changes with its content.
FILE_MAX_AGE_S = 365 * 24 * 3600


@hdxjobs.route("/hdxjobs/upload/<resource_id>")
def upload(resource_id: str) -> Response:
    """An upload, for a worker with a permit; whoever has none learns nothing, not even whether it exists."""
    answer = handover.download(resource_id, permit_shown=tk.request.headers.get(permit.HEADER, ""))
    return answer or replies.text(403, "Only workers of this site are served here")


@hdxjobs.route("/hdxjobs/<path:name>")
def page_file(name: str) -> Response:
    """A script, style sheet or piece of land of the map page, compressed and kept by the browser."""
    file = files.find(name)
    if file is None:
        return replies.text(404, "Not found")
    answer = OwnResponse(mimetype=file.mimetype)
    # Another server of this site may still run the release before: what it sends must not be kept.
    lasting = name.startswith(files.MAPLIBRE_FOLDER) or tk.request.args.get("v") == files.version()
    answer.caching = f"public, max-age={FILE_MAX_AGE_S}, immutable" if lasting else "no-cache"
    packed = replies.takes_gzip(tk.request)
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.set_data(file.packed if packed else file.body)
    return replies.with_etag(answer, file.digest, tk.request)


@hdxjobs.route("/dataset/<id>/resource/<resource_id>/preview-status")
def preview_status(id: str, resource_id: str) -> Response:
    """The status panel's inside, as HTML; the state in a header."""
    preview = preview_of(resource_id) if rights.may_see(resource_id, tk.current_user.name) else None
    if preview is None:
        return replies.text(404, "Not found")
    answer = Response(tk.render("hdxjobs/status.html", {"preview": preview, "package_id": id}))
    answer.cache_control.no_store = True
    tk.request.environ["__no_cache__"] = True
    answer.headers["X-Hdxjobs-State"] = preview["state"]
    return answer


@hdxjobs.route("/dataset/<id>/resource/<resource_id>/preview-retry", methods=["POST"])
def preview_retry(id: str, resource_id: str) -> Any:
    """An editor wants the preview made again."""
    replies.refuse_forged()
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


@hdxjobs.record_once
def _add_metrics(state: Any) -> None:
    path = config.metrics_settings().path
    if path:
        state.add_url_rule(path, "metrics", metrics.page)


for path, page in {
    "hdxjobs-jobs": sysadmin.jobs_page,
    "hdxjobs-jobs/error/<code>": sysadmin.failed_page,
    "hdxjobs-events": sysadmin.events_page,
    "hdxjobs-tiles": sysadmin.tiles_page,
    "hdxjobs-tiles/<layer_id>": sysadmin.layer_tiles_page,
}.items():
    hdxjobs.add_url_rule(f"/ckan-admin/{path}", view_func=page)
hdxjobs.add_url_rule(
    "/ckan-admin/hdxjobs-jobs/retry/<code>", view_func=sysadmin.retry_failed, methods=["POST"]
)


def preview_of(resource_id: str) -> dict[str, Any] | None:
    """The preview's status in the reader's language, or None."""
    return record.status(resource_id)


def can_view(resource_id: str) -> bool:
    """Whether there is a map to look at."""
    row = record.find(resource_id)
    return bool(row and row["layers"])
