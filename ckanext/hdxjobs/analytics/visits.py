"""A request as far as an event may know it: copied while the request lasts, used after the response."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ckanext.hdxjobs.analytics import privacy
from ckanext.hdxjobs.analytics.events import JSON


@dataclass(frozen=True)
class Visit:
    """What happened, seen from the door.

    :ivar address: the visitor's network address: in memory only
    :ivar agent: the visitor's user agent: in memory only
    :ivar url: of the page that the event is about
    :ivar source: "web", "direct" or "api"
    :ivar site: host of this site
    :ivar began: ``time.monotonic()`` of the event
    :ivar server_side: False when a browser reported it
    """

    address: str
    agent: str
    url: str
    referer: str
    source: str
    authenticated: bool
    site: str
    began: float
    server_side: bool = True

    @property
    def age_s(self) -> float:
        """Seconds since it happened."""
        return max(0.0, time.monotonic() - self.began)

    def properties(self, *, tell_network: bool) -> dict[str, JSON]:
        """What is told of a visit with each event; texts may be "".

        :param tell_network: whether the cut address may be told
        """
        family, version = privacy.browser(self.agent)
        told: dict[str, JSON] = {
            "server side": self.server_side,
            "event source": self.source,
            "authenticated": self.authenticated,
            "$current_url": privacy.shown_url(self.url),
            "referer url": privacy.origin(self.referer),
            "$browser": family,
            "$browser_version": version,
            "$os": privacy.system(self.agent),
        }
        if tell_network:
            told["ip"] = privacy.cut_address(self.address)
        return told


def source_of(path: str, headers: privacy.Headers, *, site: str) -> str:
    """Whether a request came from a page of this site, from the API or from elsewhere."""
    if path.startswith("/api/"):
        return "api"
    return "web" if is_same_site(headers, site=site) else "direct"


def is_same_site(headers: privacy.Headers, *, site: str) -> bool:
    """Whether a page of this site made the request.

    Browsers say so themselves in Sec-Fetch-Site, which no page can forge; older ones by their Origin or
    Referer.
    """
    fetched = headers.get("Sec-Fetch-Site")
    if fetched:
        return str(fetched) == "same-origin"
    told = headers.get("Origin") or headers.get("Referer") or ""
    return privacy.origin(told).partition("://")[2] == site.lower()
