"""One POST, told as a value: it raises nothing, and no text of it holds a secret or an address."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from ckanext.hdxjobs.analytics.sinks import Receipt

USER_AGENT = "ckanext-hdxjobs"

#: An answer is a few hundred bytes; a thousand failed records are some 300 kB.
MAX_ANSWER_BYTES = 2_000_000

#: A service that asks for more is asked again after this long.
MAX_RETRY_AFTER_S = 3600.0

_ANSWERS_THAT_PASS = frozenset({408, 425, 429})

_ALARMS = {
    401: "the service does not accept the credentials (HTTP 401)",
    403: "the credentials may not send events (HTTP 403)",
    404: "there is no such service at the address (HTTP 404)",
    413: "the service calls even a small event too large (HTTP 413)",
}


@dataclass(frozen=True)
class Answer:
    """What came back.

    :ivar status: HTTP status, or 0 when no whole answer came
    :ivar fault: why none came, for the log
    :ivar retry_after_s: seconds that the service asks us to wait, at most an hour
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    retry_after_s: float | None = None
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether the service took the request."""
        return 200 <= self.status < 300


def _hide_secret(record: logging.LogRecord) -> bool:
    """Keep GA4's secret, which has to be part of the address, out of a log at level DEBUG."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub("(api_secret=)[^&]*", r"\1…", each) if isinstance(each, str) else each
            for each in record.args
        )
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_hide_secret)


class _SlowError(Exception):
    """The answer did not end in time."""


class Client:
    """Connections to one service, kept open; may be used by several threads.

    Redirects are not followed: credentials must not travel to another host.

    :param url: where all requests go, with its query
    :param timeout_s: seconds for the connection, for each wait, and for the whole answer
    :param connections: how many are kept open
    """

    def __init__(self, url: str, *, timeout_s: float, connections: int = 1) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # The proxy is looked up once; .netrc must not add credentials of its own.
        self._session.proxies.update(get_environ_proxies(url, no_proxy=None))
        self._session.trust_env = False
        # What requests itself would read from the environment, for hosts behind a company's own authority.
        authority = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self._session.verify = authority or True
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0, pool_block=True)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers["User-Agent"] = USER_AGENT

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """Send once."""
        until = time.monotonic() + self._timeout_s
        try:
            with self._session.post(
                self._url,
                data=body,
                headers=dict(headers),
                auth=auth,
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(
                    status=response.status_code,
                    body=_read(response, until),
                    content_type=response.headers.get("Content-Type", ""),
                    retry_after_s=retry_after_s(response.headers),
                )
        except (requests.RequestException, OSError, _SlowError) as exc:
            # A requests error quotes the address, and GA4's address holds its secret: only its kind is told.
            return Answer(status=0, fault=_fault(exc, self._timeout_s))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _read(response: requests.Response, until: float) -> bytes:
    """The body, if it comes before ``until`` (monotonic seconds); a drip feed would hold us for ever."""
    body = b""
    for chunk in response.iter_content(65_536):
        body += chunk
        if time.monotonic() > until:
            raise _SlowError
        if len(body) > MAX_ANSWER_BYTES:
            raise requests.exceptions.ContentDecodingError
    return body


def _fault(exc: Exception, timeout_s: float) -> str:
    if isinstance(exc, (requests.Timeout, _SlowError)):
        return f"no answer within {timeout_s:g} s"
    if isinstance(exc, requests.exceptions.SSLError):
        return "no secure connection (TLS): see the certificate"
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy does not work"
    if isinstance(exc, requests.ConnectionError):
        text = str(exc)
        if "NameResolution" in text or "getaddrinfo" in text:
            return "the host's name cannot be resolved"
        return "connection refused" if "refused" in text else "the connection broke"
    return "the answer cannot be read"


def retry_after_s(headers: Mapping[str, Any]) -> float | None:
    """Seconds that a ``Retry-After`` asks for, between 0 and an hour; None without one that can be read.

    A date is compared with the answer's own ``Date``: our clock and theirs may differ.
    """
    value = str(headers.get("Retry-After") or "").strip()
    if not value:
        return None
    try:
        if value.isdigit():
            seconds = float(value)
        else:
            now = headers.get("Date")
            start = parsedate_to_datetime(now) if now else datetime.now(timezone.utc)
            seconds = (parsedate_to_datetime(value) - start).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def setback(answer: Answer) -> Receipt:
    """The receipt for a request that the service did not take: what may pass pauses, the rest alarms.

    Nothing is refused here: an event is not to blame for a wrong password.
    """
    if answer.status == 0:
        return Receipt(pause_s=0.0, error=answer.fault)
    error = f"HTTP {answer.status}"
    if answer.status in _ANSWERS_THAT_PASS or answer.status >= 500:
        return Receipt(pause_s=answer.retry_after_s or 0.0, error=error)
    alarm = _ALARMS.get(answer.status, f"the service does not take our requests ({error})")
    return Receipt(pause_s=0.0, alarm=alarm, error=error)
