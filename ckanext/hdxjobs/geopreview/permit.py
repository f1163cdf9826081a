"""A worker's right to have one upload from the site: signed, for one resource, for minutes.

Whoever holds CKAN's SECRET_KEY could log in as anybody, so that a permit gives nothing away; whoever
does not cannot make one.  No user's token travels, and none is left behind when a worker is killed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

#: Request header that carries it: unlike URLs, headers are not written to access logs.
HEADER = "X-Hdxjobs-Permit"

#: Seconds that a permit lasts, by the clock that worker and web server share.
LIFETIME_S = 600


def issue(resource_id: str, *, secret: str, now_s: float) -> str:
    """A permit for a resource: the second of its issue and a seal."""
    issued = str(int(now_s))
    return f"{issued}.{_seal(issued, resource_id, secret)}"


def is_valid(permit: str, resource_id: str, *, secret: str, clock: Callable[[], float]) -> bool:
    """Whether the site itself issued this permit, for this resource, lately.

    :param clock: tells the second; asked only of a permit that is the site's
    """
    issued, _, seal = permit.partition(".")
    if not hmac.compare_digest(seal.encode(), _seal(issued, resource_id, secret).encode()):
        return False
    return abs(clock() - int(issued)) <= LIFETIME_S


def _seal(issued: str, resource_id: str, secret: str) -> str:
    # A key of its own, so that no other signature of this site is ever one of these.
    key = hmac.digest(secret.encode(), b"hdxjobs upload permit", hashlib.sha256)
    return hmac.new(key, f"{issued}\0{resource_id}".encode(), hashlib.sha256).hexdigest()
