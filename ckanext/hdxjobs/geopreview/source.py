"""Resource -> Source: the bytes are in CKAN's storage or behind a link.

Uploads are read from storage (``storages``), never by HTTP from our own site: no token, private datasets
too.  Only what a storage plugin keeps and nobody but the site can give out is asked of the site
(``handover``), with a permit for that one file.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.hdxjobs import config
from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import permit, preview, rules, storages
from ckanext.hdxjobs.geopreview.values import Link, Source


def find(resource_id: str, generation: int) -> Source:
    """Where the bytes of a resource are.

    :raises FetchError: code "file-missing" when the resource or its link is gone, "storage-unavailable"
        when its storage does not say
    """
    resource = model.Session.get(model.Resource, resource_id)
    if resource is None or resource.state != "active":
        raise FetchError("file-missing")
    is_upload = resource.url_type == "upload"
    opener = storages.opener(resource) if is_upload else None
    link = None
    if opener is None:
        link = _through_the_site(resource_id, config.site_settings()) if is_upload else _link(resource)
    return Source(
        resource_id=resource_id,
        generation=generation,
        file_name=rules.file_name(resource.url or "", resource.name or ""),
        declared_format=resource.format or "",
        open_upload=opener,
        link=link,
        coordinates=rules.coordinates(resource.extras),
    )


def _link(resource: Any) -> Link:
    if not resource.url:
        raise FetchError("file-missing")
    return Link(str(resource.url))


def _through_the_site(resource_id: str, site: config.SiteSettings) -> Link:
    # The path alone, so that nothing a publisher wrote is part of a URL that may lead anywhere.
    path = urlsplit(tk.url_for("hdxjobs.upload", resource_id=resource_id, locale="default")).path
    headers = {permit.HEADER: permit.issue(resource_id, secret=site.secret, now_s=preview.now_s())}
    return Link(site.base_url + path, is_own=True, headers=headers)
