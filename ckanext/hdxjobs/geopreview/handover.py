"""The site gives an upload to one of its workers: for storage plugins that only serve downloads.

The download itself is whatever the site does for its visitors, a plugin's own page included, done as
CKAN's site user; a worker comes with a permit for this one resource.
"""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan import model
from flask import Response, abort, current_app, g

from ckanext.hdxjobs import config
from ckanext.hdxjobs.geopreview import permit, preview


def download(resource_id: str, *, permit_shown: str) -> Response | None:
    """The file, or the redirect to it, as the site answers a visitor who may have it; None without a right.

    :raises werkzeug.exceptions.HTTPException: as the site's own download page does
    """
    secret = config.site_settings().secret
    if not permit.is_valid(permit_shown, resource_id, secret=secret, clock=preview.now_s):
        return None
    resource = model.Session.get(model.Resource, resource_id)
    if resource is None or resource.state != "active" or resource.url_type != "upload":
        abort(404)
    _become_site_user()
    path = f"/dataset/{resource.package_id}/resource/{resource.id}/download"
    # By its path: a plugin may have put a page of its own before CKAN's.
    endpoint, arguments = current_app.url_map.bind(tk.request.host).match(path, method="GET")
    answer: Response = current_app.make_response(
        current_app.ensure_sync(current_app.view_functions[endpoint])(**arguments)
    )
    answer.cache_control.no_store = True
    tk.request.environ["__no_cache__"] = True
    return answer


def _become_site_user() -> None:
    """For the rest of this request; a login would leave a session behind."""
    name = tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]
    user = model.User.get(name)
    # Where Flask-Login keeps the user of a request.
    g._login_user = user
    g.user, g.userobj = name, user
