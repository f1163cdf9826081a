"""How uploads are read from each kind of storage: by its own client, with the site's own rights.

CKAN's own folder and the storages of CKAN 2.12 (file-keeper, whatever lies behind it) first, then the
plugins of ``PLUGINS``, told by the methods that their uploaders have.  No URL is made and nothing is
asked of the site by HTTP: it works for private datasets, and for a storage on a private address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckan.lib import uploader
from rq.timeouts import JobTimeoutException

from ckanext.hdxjobs.errors import FetchError

log = logging.getLogger(__name__)

#: Bytes read at once from a file.
CHUNK_BYTES = 1024 * 1024

Opener = Callable[[], Iterator[bytes]]

#: Names of the exceptions by which storages say that there is no such file: file-keeper, libcloud, Azure.
MISSING = frozenset({"LocationError", "ObjectDoesNotExistError", "ResourceNotFoundError"})
#: Codes of S3 that say the same.
MISSING_IN_S3 = frozenset({"NoSuchKey", "404"})


@dataclass(frozen=True)
class Plugin:
    """A plugin that keeps uploads elsewhere.

    :ivar members: what the class of its uploaders has, and those of no other plugin have
    :ivar read: (uploader, resource's id, file's name) -> chunks of bytes
    """

    name: str
    members: frozenset[str]
    read: Callable[[Any, str, str], Iterable[bytes]]


def _s3(stored: Any, resource_id: str, file_name: str) -> Iterable[bytes]:
    key = stored.get_path(resource_id, file_name)
    body = stored.get_s3_client().get_object(Bucket=stored.bucket_name, Key=key)["Body"]
    chunks: Iterable[bytes] = body.iter_chunks(CHUNK_BYTES)
    return chunks


def _libcloud(stored: Any, resource_id: str, file_name: str) -> Iterable[bytes]:
    found = stored.container.get_object(stored.path_from_filename(resource_id, file_name))
    chunks: Iterable[bytes] = found.as_stream(CHUNK_BYTES)
    return chunks


def _azure(stored: Any, resource_id: str, file_name: str) -> Iterable[bytes]:
    blob = stored.get_path(resource_id, file_name)
    service = stored.get_blob_service_client()
    client = service.get_blob_client(container=stored.container_name, blob=blob)
    chunks: Iterable[bytes] = client.download_blob().chunks()
    return chunks


PLUGINS = (
    Plugin("ckanext-s3filestore", frozenset({"get_s3_client", "get_path"}), _s3),
    Plugin("ckanext-cloudstorage", frozenset({"container", "path_from_filename"}), _libcloud),
    Plugin("ckanext-azurefilestore", frozenset({"get_blob_service_client", "get_path"}), _azure),
)


def opener(resource: Any) -> Opener | None:
    """How to read a resource's upload; None when only the site can give it out.

    :raises FetchError: code "storage-unavailable"; so does what it returns, also "file-missing" and
        "file-unreadable"
    """
    file_name = str(resource.url or "").rpartition("/")[2]
    description = {
        "id": resource.id,
        "url": file_name,
        "url_type": "upload",
        "package_id": resource.package_id,
    }
    with _told(resource.id):
        stored = uploader.get_resource_uploader(description)
        read = _reading(stored, resource.id, file_name)
    return None if read is None else lambda: _chunks(read, resource.id)


def _reading(stored: Any, resource_id: str, file_name: str) -> Callable[[], Iterable[bytes]] | None:
    storage = getattr(stored, "storage", None)
    if storage is not None and _can_stream(storage):
        return lambda: _file_keeper(storage, stored.get_path(resource_id))
    for plugin in PLUGINS:
        # Of the class: to ask the object may already call the cloud.
        if all(hasattr(type(stored), member) for member in plugin.members):
            return lambda: plugin.read(stored, resource_id, file_name)
    if isinstance(stored, uploader.ResourceUpload):
        return lambda: _file(Path(stored.get_path(resource_id)))
    return None


def _can_stream(storage: Any) -> bool:
    from ckan.lib import files  # noqa: PLC0415  CKAN 2.12 and later

    return bool(storage.supports(files.Capability.STREAM))


def _file_keeper(storage: Any, location: Any) -> Iterable[bytes]:
    from ckan.lib import files  # noqa: PLC0415  CKAN 2.12 and later

    chunks: Iterable[bytes] = storage.stream(files.FileData(files.Location(location)))
    return chunks


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _chunks(read: Callable[[], Iterable[bytes]], resource_id: str) -> Iterator[bytes]:
    """The chunks of a file; what a storage raises, however it is called, becomes ours."""
    with _told(resource_id):
        chunks = iter(read())
    while True:
        with _told(resource_id):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _told(resource_id: str) -> Iterator[None]:
    try:
        yield
    except JobTimeoutException:
        raise
    except PermissionError as error:
        log.warning("The upload of resource %s may not be read by this worker's account", resource_id)
        raise FetchError("file-unreadable") from error
    except Exception as error:
        if _is_missing(error):
            raise FetchError("file-missing") from None
        # Its text may hold URLs and keys.
        log.warning("The upload of resource %s cannot be read (%s)", resource_id, type(error).__name__)
        raise FetchError("storage-unavailable") from None


def _is_missing(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError) or MISSING & {cls.__name__ for cls in type(error).__mro__}:
        return True
    answer = getattr(error, "response", None)
    return isinstance(answer, dict) and answer.get("Error", {}).get("Code") in MISSING_IN_S3
