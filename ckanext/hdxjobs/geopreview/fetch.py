"""Source -> Download: the bytes come to the worker's disk, under caps of size and time."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import courier, workplace
from ckanext.hdxjobs.geopreview.courier import Caps
from ckanext.hdxjobs.geopreview.guard import Gate
from ckanext.hdxjobs.geopreview.values import Download, Link, OnProgress, Progress, Source

log = logging.getLogger(__name__)

#: What is said of an upload instead of a link: its publisher has no link to correct and no server to ask.
OF_UPLOADS = {
    "link-not-found": "file-missing",
    "link-unreachable": "storage-unavailable",
    "link-cut-off": "storage-unavailable",
    "link-refused": "file-unreadable",
    "link-blocked": "file-unreadable",
}


def fetch(  # noqa: PLR0913 (what a download may do is said by its caller, not by a bag of settings)
    source: Source,
    *,
    folder: Path,
    max_bytes: int,
    connect_timeout_s: float,
    read_timeout_s: float,
    deadline_s: float,
    hosts_allowed: frozenset[str],
    proxy: str | None,
    progress: OnProgress,
) -> Download:
    """Bring a resource's file into ``folder``.

    :param deadline_s: seconds that the whole download may take
    :param hosts_allowed: "host" or "host:port" of links that may lead to private addresses
    :param proxy: URL of a proxy for links; it then has to guard the addresses
    :param progress: called with the bytes that have come
    :raises FetchError: a code of the link-, file-, storage- or disk- family
    """
    caps = Caps(max_bytes, connect_timeout_s, read_timeout_s, time.monotonic() + deadline_s)
    path, name = folder / "download", source.file_name
    with _cleared(path), _told_of_uploads(source):
        if source.open_upload is not None:
            byte_count, sha256 = _save(source.open_upload(), path, caps, None, progress)
        else:
            link = source.link or Link("")
            with courier.ask(link, caps=caps, gate=Gate(hosts_allowed), proxy=proxy) as answer:
                byte_count, sha256 = _save(answer.chunks(), path, caps, answer.expected, progress)
                name = name if link.is_own else answer.file_name or name
    return Download(
        resource_id=source.resource_id,
        generation=source.generation,
        path=path,
        file_name=name,
        declared_format=source.declared_format,
        byte_count=byte_count,
        sha256=sha256,
        coordinates=source.coordinates,
    )


@contextmanager
def _cleared(path: Path) -> Iterator[None]:
    """No half of a file stays behind."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _told_of_uploads(source: Source) -> Iterator[None]:
    """Errors in words that fit: an upload has no link, even when it had to be asked of the site."""
    try:
        yield
    except FetchError as error:
        is_publishers = source.link is not None and not source.link.is_own
        if is_publishers or error.code not in OF_UPLOADS:
            raise
        log.warning("The upload of resource %s cannot be had: %s", source.resource_id, error)
        raise FetchError(OF_UPLOADS[error.code], retry_after_s=error.retry_after_s) from error


def _save(
    chunks: Iterable[bytes], path: Path, caps: Caps, expected: int | None, progress: OnProgress
) -> tuple[int, str]:
    """Write chunks to disk, counting; the number of bytes and their SHA-256.

    :raises FetchError: code "file-too-big" or "disk-full"
    """
    workplace.require_room(path.parent, expected or 0)
    count, digest = 0, hashlib.sha256()
    with path.open("xb") as file:
        path.chmod(0o600)
        for chunk in chunks:
            count += len(chunk)
            caps.require_fit(count)
            caps.seconds_left()
            file.write(chunk)
            digest.update(chunk)
            progress(Progress(count, expected, "bytes"))
    return count, digest.hexdigest()
