"""What may be known of a visitor.  Pure: all rules of privacy are here, and nothing is stored here.

The network address and the user agent are used for a moment, to make the visitor's hash and to tell
crawlers apart, and go no further.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from ckanext.hdxjobs.analytics.events import JSON, storable

#: Werkzeug's headers, or a dict in a test: whatever has ``get(name, default)``.
Headers = Any

#: What the setting ``analytics.allow`` may name, and the properties that are withheld without it.
WITHHELD: dict[str, frozenset[str]] = {
    "search_text": frozenset({"search term"}),
    "people": frozenset(
        {"user", "user id", "user name", "fullname", "email", "e-mail", "author", "maintainer"}
    ),
    "private_names": frozenset(
        {
            *("dataset name", "resource name", "page title", "link label", "destination url"),
            *("$current_url", "referer url"),
        }
    ),
}

#: Classes of the crawler list that a site may count as visitors; see the setting ``analytics.programs``.
PROGRAMS = frozenset({"http-library", "browser-automation"})

_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_MAIL_MASK = "[e-mail]"

#: Paths that name a user: their rest is cut off, and their titles are withheld.  Before them may stand
#: a language and the folder of a site that has no host of its own.
_PERSONAL = re.compile(
    r"^((?:/(?!(?:dataset|organization|group)/)[^/]+)*?/(?:user|dashboard))(?:/.*)?$", re.DOTALL
)

_BROWSERS = (
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"\b(?:HeadlessChrome|Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+)[\d.]* (?:Mobile/\S+ )?Safari/")),
)
_SYSTEMS = (
    ("iOS", re.compile(r"\b(?:iPhone|iPad|iPod)\b")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\bMac ?OS X\b|\bMacintosh\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Linux", re.compile(r"\bLinux\b|\bX11\b")),
)
_PROGRAM = re.compile(r"^([A-Za-z][\w.-]{0,30})(?:/(\d{1,5}))?")


def objects(headers: Headers) -> bool:
    """Whether the visitor asked not to be tracked (Sec-GPC or DNT)."""
    return bool(headers.get("Sec-GPC") == "1" or headers.get("DNT") == "1")


def is_prefetch(headers: Headers) -> bool:
    """Whether a browser fetched ahead what nobody has looked at."""
    told = " ".join(
        headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
    ).lower()
    return any(word in told for word in ("prefetch", "prerender", "preview"))


@lru_cache(maxsize=4096)
def is_crawler(agent: str, programs: frozenset[str], ignored: frozenset[str]) -> bool:
    """Whether a user agent is not a visitor's.

    :param programs: classes of programs that count as visitors
    :param ignored: texts of agents that the site does not count; any case
    """
    if not agent.strip():
        return True
    lowered = agent.lower()
    if any(text.lower() in lowered for text in ignored):
        return True
    return any(pattern.search(agent) for pattern in _crawlers(programs & PROGRAMS))


@lru_cache(maxsize=8)
def _crawlers(programs: frozenset[str]) -> tuple[re.Pattern[str], ...]:
    patterns = [row["pattern"] for row in CRAWLER_USER_AGENTS_DATA if not programs & set(row.get("tags", ()))]
    # Of some dozens a piece: the regular expression engine is slow with more alternatives.
    return tuple(re.compile("|".join(patterns[at : at + 25])) for at in range(0, len(patterns), 25))


def visitor_id(salt: bytes, *, address: str, agent: str, site: str) -> str:
    """A visitor's name for a day: 32 hexadecimal digits that tell nothing once the salt is gone."""
    said = "\n".join((site, address, agent)).encode()
    return hmac.new(salt, said, hashlib.sha256).hexdigest()[:32]


def session_id(visitor: str) -> str:
    """One session a visitor a day, as the ten digits that GA4 wants; "" without a visitor."""
    if not visitor:
        return ""
    return str(1_000_000_000 + int(hashlib.sha256(visitor.encode()).hexdigest(), 16) % 9_000_000_000)


def cut_address(address: str) -> str | None:
    """The visitor's network: /24 of IPv4, /48 of IPv6; None for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    length = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False).network_address)


def shown_url(url: str) -> str:
    """A web address without query, fragment and password, and without the name of a user; "" for others."""
    parts = _split(url)
    if parts is None:
        return ""
    scheme, host, path = parts
    personal = _PERSONAL.match(path)
    return f"{scheme}://{host}{personal[1] if personal else path}"


def origin(url: str) -> str:
    """Scheme and host of an address; "" when it has none."""
    parts = _split(url)
    return f"{parts[0]}://{parts[1]}" if parts else ""


def _split(url: str) -> tuple[str, str, str] | None:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    return parts.scheme, host, parts.path


def is_personal(url: str) -> bool:
    """Whether a page's address (and so its title) names a user."""
    parts = _split(url)
    return bool(parts and _PERSONAL.match(parts[2]))


def browser(agent: str) -> tuple[str, str]:
    """Family and major version of the browser or program."""
    for name, pattern in _BROWSERS:
        found = pattern.search(agent)
        if found:
            return name, found[1]
    program = _PROGRAM.match(agent)
    if program and not agent.startswith("Mozilla/"):
        return program[1], program[2] or ""
    return "", ""


def system(agent: str) -> str:
    """Family of the operating system."""
    return next((name for name, pattern in _SYSTEMS if pattern.search(agent)), "")


def cleaned(
    properties: Mapping[str, JSON], *, is_private: bool, is_personal: bool, allowed: Collection[str]
) -> dict[str, JSON]:
    """What may be stored of an event's properties.

    :param is_private: the event is about a private dataset
    :param is_personal: the page's address names a user
    :param allowed: keys of ``WITHHELD`` that the site has set free
    """
    hidden: set[str] = set()
    for key in ("search_text", "people"):
        if key not in allowed:
            hidden |= WITHHELD[key]
    if is_private and "private_names" not in allowed:
        hidden |= WITHHELD["private_names"]
    if is_personal and "people" not in allowed:
        hidden.add("page title")
    mask = "people" not in allowed
    return {
        storable(name): _kept(value, mask=mask)
        for name, value in properties.items()
        if name not in hidden and value not in ("", None)
    }


def _kept(value: JSON, *, mask: bool) -> JSON:
    if isinstance(value, str):
        text = storable(value)
        return _MAIL.sub(_MAIL_MASK, text) if mask else text
    if isinstance(value, list):
        return [_kept(entry, mask=mask) for entry in value]
    if isinstance(value, dict):
        return {storable(key): _kept(entry, mask=mask) for key, entry in value.items()}
    return value
