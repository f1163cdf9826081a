"""Fetches a link: redirect by redirect, each checked like the first, under caps of size and time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3.exceptions

from ckanext.hdxjobs.errors import N_, FetchError
from ckanext.hdxjobs.geopreview import headers
from ckanext.hdxjobs.geopreview.guard import BlockedError, Gate, adapter
from ckanext.hdxjobs.geopreview.rules import size_text
from ckanext.hdxjobs.geopreview.values import Link

CHUNK_BYTES = 256 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Answers that carry the whole file.
WHOLE = frozenset({200, 203})
#: Answers after which the same link may work later; so may it after any 5xx and any other 2xx.
PASSING = frozenset({408, 425, 429})
GONE = frozenset({404, 410})
HEADERS = {
    "User-Agent": "ckanext-hdxjobs (map preview of an open data portal)",
    "Accept": "*/*",
    # Compressed transfer would make the announced length another number than the file's.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class Caps:
    """What a download may cost.

    :ivar ends_at: of ``time.monotonic``
    """

    max_bytes: int
    connect_timeout_s: float
    read_timeout_s: float
    ends_at: float

    def seconds_left(self) -> float:
        """Until the deadline.

        :raises FetchError: code "link-unreachable" when it has passed
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise FetchError("link-unreachable", reason=N_("it took too long"))
        return left

    def require_fit(self, byte_count: int) -> None:
        """Refuse a file of at least so many bytes if it is over the cap.

        :raises FetchError: code "file-too-big"
        """
        if byte_count > self.max_bytes:
            raise FetchError("file-too-big", limit=size_text(self.max_bytes), found=size_text(byte_count))


class _Curfew:
    """Cuts a download's connections at its deadline.

    The time-outs of a socket are for each read: a server that sends its headers byte by byte never meets one.
    """

    def __init__(self, caps: Caps) -> None:
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


class Answer:
    """A server's answer with a file in it.

    :ivar expected: bytes that the file has as far as the server says, else None
    :ivar file_name: as the server calls the file, or ""
    """

    def __init__(self, response: requests.Response, caps: Caps) -> None:
        self._response = response
        self._caps = caps
        self.expected = headers.announced_bytes(response.headers)
        self.file_name = headers.file_name(response.headers.get("Content-Disposition"))

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes; each read waits no longer than what is left of the deadline.

        :raises FetchError: code "link-unreachable" or "link-cut-off"
        """
        raw, received = self._response.raw, 0
        raw.enforce_content_length = False
        try:
            # What a compressed transfer unpacks to comes in chunks of this size as well.
            while chunk := raw.read1(CHUNK_BYTES, decode_content=True):
                received += len(chunk)
                yield chunk
                _set_timeout(raw, read_timeout_s(self._caps))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._caps.seconds_left()
            raise _failure(error) from None
        # A body that was cut off at the deadline looks whole.
        self._caps.seconds_left()
        if self.expected is not None and received != self.expected:
            raise FetchError("link-cut-off", received=received, expected=self.expected)


@contextmanager
def ask(link: Link, *, caps: Caps, gate: Gate, proxy: str | None) -> Iterator[Answer]:
    """The answer at the end of a link's redirects.

    A link of the site's own needs no proxy, and its server no public address; what it redirects to does.

    :raises FetchError: a code of the link- family, or "file-too-big"
    """
    with requests.Session() as session, _Curfew(caps) as curfew:
        session.trust_env = False
        url, once = link.url, dict(link.headers)
        for hop in range(MAX_REDIRECTS + 1):
            is_own = link.is_own and hop == 0
            opened = gate.with_server_of(url) if is_own else gate
            _connect_through(session, opened, None if is_own else proxy, curfew)
            with closing(_get(session, url, once, opened, caps)) as response:
                if response.status_code not in REDIRECTS:
                    _refuse_status(response)
                    answer = Answer(response, caps)
                    caps.require_fit(answer.expected or 0)
                    yield answer
                    return
                url, once = _target(url, response), {}
    raise FetchError("link-unreachable", reason=N_("it redirects too often"))


def _connect_through(session: requests.Session, gate: Gate, proxy: str | None, curfew: _Curfew) -> None:
    """Connections of the next request: new ones, so that each is made under its own gate."""
    session.close()
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    gate = gate.with_server_of(proxy) if proxy else gate
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter(gate, opened=curfew.watch))


def _get(
    session: requests.Session, url: str, once: Mapping[str, str], gate: Gate, caps: Caps
) -> requests.Response:
    parts = gate.check(url)
    timeout = min(caps.connect_timeout_s, caps.seconds_left()), read_timeout_s(caps)
    credentials = (parts.username, parts.password or "") if parts.username else None
    try:
        response = session.get(
            _bare(url),
            headers=HEADERS | dict(once),
            auth=credentials,
            stream=True,
            timeout=timeout,
            allow_redirects=False,
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
        caps.seconds_left()
        raise _failure(error) from None
    # Headers that were cut off at the deadline look whole.
    caps.seconds_left()
    return response


def read_timeout_s(caps: Caps) -> float:
    """Seconds that the next read may wait."""
    return min(caps.read_timeout_s, caps.seconds_left())


def _set_timeout(raw: urllib3.HTTPResponse, seconds: float) -> None:
    connection = getattr(raw, "_connection", None) or getattr(raw, "connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)


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


def _refuse_status(response: requests.Response) -> None:
    status = response.status_code
    if status in WHOLE:
        return
    if status in GONE:
        raise FetchError("link-not-found", status=status)
    if status in PASSING or status < 300 or status >= 500:
        now = datetime.now(timezone.utc)
        asked_s = headers.retry_after_s(response.headers, now=now)
        raise FetchError("link-unreachable", reason=f"HTTP {status}", retry_after_s=asked_s)
    raise FetchError("link-refused", status=status)


def _failure(error: BaseException) -> FetchError:
    """What went wrong, in words without URL or address."""
    causes = list(_causes(error))

    def is_any(*classes: type[BaseException]) -> bool:
        return any(isinstance(cause, classes) for cause in causes)

    if is_any(BlockedError) or isinstance(error, requests.exceptions.InvalidURL | UnicodeError):
        return FetchError("link-blocked")
    if is_any(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
        return FetchError("link-unreachable", reason=N_("it took too long"))
    if is_any(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return FetchError("link-unreachable", reason=N_("its certificate is not valid"))
    if is_any(socket.gaierror):
        return FetchError("link-unreachable", reason=N_("its name is not known"))
    if is_any(urllib3.exceptions.DecodeError):
        return FetchError("link-unreachable", reason=N_("its compressed transfer is damaged"))
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
