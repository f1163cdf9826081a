"""Resource -> Source: the bytes are in CKAN's storage or behind a link.

Uploads are read from storage, never by HTTP from our own site: no token, private datasets too.
Three kinds of storage: CKAN 2.12's file-keeper (a stream), CKAN's own folder (a path), and plugins
that keep files elsewhere and offer neither: their files are fetched by the resource's public link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.lib import uploader

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import rules
from ckanext.hdxjobs.geopreview.values import Source

#: Bytes read at once from a file.
CHUNK_BYTES = 1024 * 1024


def find(resource_id: str, generation: int) -> Source:
    """Where the bytes of a resource are.

    :raises FetchError: code "file-missing" when the resource or its link is gone
    """
    resource = model.Session.get(model.Resource, resource_id)
    if resource is None or resource.state != "active":
        raise FetchError("file-missing")
    opener = _upload(resource) if resource.url_type == "upload" else None
    link = None if opener else _link(resource)
    return Source(
        resource_id=resource_id,
        generation=generation,
        file_name=rules.file_name(resource.url or "", resource.name or ""),
        declared_format=resource.format or "",
        open_upload=opener,
        link=link,
    )


def _link(resource: Any) -> str:
    if resource.url_type == "upload":
        url: str = tk.url_for(
            "resource.download",
            id=resource.package_id,
            resource_id=resource.id,
            filename=resource.url,
            qualified=True,
        )
        return url
    if not resource.url:
        raise FetchError("file-missing")
    return str(resource.url)


def _upload(resource: Any) -> Callable[[], Iterator[bytes]] | None:
    """How to read an upload from storage; None when its storage can only be asked by HTTP."""
    stored = uploader.get_resource_uploader({"id": resource.id, "url": resource.url, "url_type": "upload"})
    storage = getattr(stored, "storage", None)
    if storage is not None and hasattr(storage, "stream"):
        return lambda: _stream(storage, stored.get_path(resource.id))
    if isinstance(stored, uploader.ResourceUpload):
        return lambda: _chunks(Path(stored.get_path(resource.id)))
    return None


def _stream(storage: Any, location: Any) -> Iterator[bytes]:
    from ckan.lib import files  # noqa: PLC0415  CKAN 2.12 and later; only there a storage can stream

    try:
        yield from storage.stream(files.FileData(files.Location(location)))
    except files.exc.LocationError as error:
        raise FetchError("file-missing") from error


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except FileNotFoundError as error:
        raise FetchError("file-missing") from error
