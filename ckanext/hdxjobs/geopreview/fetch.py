"""Source -> Download: the bytes come to the worker's disk, under caps of size and time."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3.exceptions

from ckanext.hdxjobs.errors import N_, FetchError
from ckanext.hdxjobs.geopreview.guard import BlockedError, Gate, adapter
from ckanext.hdxjobs.geopreview.rules import size_text
from ckanext.hdxjobs.geopreview.values import Download, Source

Progress = Callable[[float | None], None]

CHUNK_BYTES = 256 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Answers after which the same link may work later; so may it after any 5xx.
PASSING = frozenset({408, 425, 429})
GONE = frozenset({404, 410})
HEADERS = {
    "User-Agent": "ckanext-hdxjobs (map preview of an open data portal)",
    "Accept": "*/*",
    # Compressed transfer would make the announced length another number than the file's.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class _Caps:
    max_bytes: int
    connect_timeout_s: float
    read_timeout_s: float
    ends_at: float

    def seconds_left(self) -> float:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise FetchError("link-unreachable", reason=N_("it took too long"))
        return left


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
    progress: Progress,
) -> Download:
    """Bring a resource's file into ``folder``.

    :param deadline_s: seconds that the whole download may take
    :param hosts_allowed: "host" or "host:port" of links that may lead to private addresses
    :param proxy: URL of a proxy for links; it then has to guard the addresses
    :param progress: called with the share that has come, 0 to 1, or ``None`` when it is unknown
    :raises FetchError: a code of the link-, file- family
    """
    caps = _Caps(max_bytes, connect_timeout_s, read_timeout_s, time.monotonic() + deadline_s)
    path = folder / "download"
    try:
        if source.open_upload is not None:
            byte_count, sha256 = _save(_upload(source.open_upload), path, caps, None, progress)
        else:
            byte_count, sha256 = _Link(caps, Gate(hosts_allowed), proxy).save(
                source.link or "", path, progress
            )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Download(
        resource_id=source.resource_id,
        generation=source.generation,
        path=path,
        file_name=source.file_name,
        declared_format=source.declared_format,
        byte_count=byte_count,
        sha256=sha256,
    )


def _upload(open_upload: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    try:
        yield from open_upload()
    except FileNotFoundError as error:
        raise FetchError("file-missing") from error


def _save(
    chunks: Iterable[bytes], path: Path, caps: _Caps, expected: int | None, progress: Progress
) -> tuple[int, str]:
    """Write chunks to disk, counting; the number of bytes and their SHA-256."""
    count, digest = 0, hashlib.sha256()
    with path.open("xb") as file:
        path.chmod(0o600)
        for chunk in chunks:
            count += len(chunk)
            if count > caps.max_bytes:
                raise FetchError("file-too-big", limit=size_text(caps.max_bytes))
            caps.seconds_left()
            file.write(chunk)
            digest.update(chunk)
            progress(min(count / expected, 1.0) if expected else None)
    return count, digest.hexdigest()


class _Curfew:
    """Cuts a download's connections at its deadline.

    The time-outs of a socket are for each read: a server that sends its headers byte by byte never meets one.
    """

    def __init__(self, caps: _Caps) -> None:
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(caps.seconds_left(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Curfew:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for connection in self._sockets:
            connection.close()

    def watch(self, connection: socket.socket) -> None:
        """Cut this one too; by a handle of our own, because TLS takes the first one away."""
        self._sockets.append(connection.dup())

    def _cut(self) -> None:
        for connection in list(self._sockets):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Link:
    """Downloads one link, redirect by redirect, each checked like the first."""

    def __init__(self, caps: _Caps, gate: Gate, proxy: str | None) -> None:
        self._caps = caps
        self._gate = gate
        self._curfew = _Curfew(caps)
        self._session = requests.Session()
        self._session.trust_env = False
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}
        else:
            self._session.mount("http://", adapter(gate, opened=self._curfew.watch))
            self._session.mount("https://", adapter(gate, opened=self._curfew.watch))

    def save(self, url: str, path: Path, progress: Progress) -> tuple[int, str]:
        with self._session, self._curfew:
            for _ in range(MAX_REDIRECTS + 1):
                with closing(self._get(url)) as response:
                    if response.status_code not in REDIRECTS:
                        return self._body(response, path, progress)
                    url = _target(url, response)
        raise FetchError("link-unreachable", reason=N_("it redirects too often"))

    def _get(self, url: str) -> requests.Response:
        parts = self._gate.check(url)
        timeout = min(self._caps.connect_timeout_s, self._caps.seconds_left()), self._read_timeout_s()
        credentials = (parts.username, parts.password or "") if parts.username else None
        try:
            response = self._session.get(
                _bare(url),
                headers=HEADERS,
                auth=credentials,
                stream=True,
                timeout=timeout,
                allow_redirects=False,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            self._caps.seconds_left()
            raise _failure(error) from None
        # Headers that were cut off at the deadline look whole.
        self._caps.seconds_left()
        return response

    def _read_timeout_s(self) -> float:
        return min(self._caps.read_timeout_s, self._caps.seconds_left())

    def _body(self, response: requests.Response, path: Path, progress: Progress) -> tuple[int, str]:
        _refuse_status(response.status_code)
        expected = _announced(response)
        if expected is not None and expected > self._caps.max_bytes:
            raise FetchError("file-too-big", limit=size_text(self._caps.max_bytes))
        count, sha256 = _save(self._chunks(response), path, self._caps, expected, progress)
        if expected is not None and count != expected:
            raise FetchError("link-cut-off", received=count, expected=expected)
        return count, sha256

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it comes; each read waits no longer than what is left of the deadline."""
        raw = response.raw
        raw.enforce_content_length = False
        try:
            while chunk := raw.read1(CHUNK_BYTES, decode_content=True):
                yield chunk
                _set_timeout(raw, self._read_timeout_s())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._caps.seconds_left()
            raise _failure(error) from None
        # So does a body.
        self._caps.seconds_left()


def _set_timeout(raw: urllib3.HTTPResponse, seconds: float) -> None:
    connection = getattr(raw, "_connection", None) or getattr(raw, "connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)


def _announced(response: requests.Response) -> int | None:
    """Bytes that the server says the file has; unknown for compressed or chunked transfer."""
    text = response.headers.get("Content-Length", "")
    if response.headers.get("Content-Encoding", "identity") != "identity" or not text.isdigit():
        return None
    return int(text)


def _target(url: str, response: requests.Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise FetchError("link-unreachable", reason=N_("it redirects to nowhere"))
    # As bytes came; servers send UTF-8, requests hands over Latin-1.
    return urljoin(_bare(url), location.encode("latin-1", "ignore").decode("utf-8", "replace"))


def _bare(url: str) -> str:
    """The URL without credentials, so that they reach no log, no error and no other server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _refuse_status(status: int) -> None:
    if status < 300:
        return
    if status in GONE:
        raise FetchError("link-not-found", status=status)
    if status in PASSING or status >= 500:
        raise FetchError("link-unreachable", reason=f"HTTP {status}")
    raise FetchError("link-refused", status=status)


def _failure(error: BaseException) -> FetchError:
    """What went wrong, in words without URL or address."""
    causes = list(_causes(error))
    if any(isinstance(cause, BlockedError) for cause in causes):
        return FetchError("link-blocked")
    if isinstance(error, requests.exceptions.InvalidURL | UnicodeError):
        return FetchError("link-blocked")
    if any(
        isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError)
        for cause in causes
    ):
        return FetchError("link-unreachable", reason=N_("it took too long"))
    if any(isinstance(cause, requests.exceptions.SSLError | urllib3.exceptions.SSLError) for cause in causes):
        return FetchError("link-unreachable", reason=N_("its certificate is not valid"))
    return FetchError("link-unreachable", reason=N_("the connection failed"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it wraps, and what led to it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [
            cause
            for cause in (
                current.__cause__,
                current.__context__,
                getattr(current, "reason", None),
                *current.args,
            )
            if isinstance(cause, BaseException)
        ]
