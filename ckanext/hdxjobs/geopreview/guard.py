"""Which addresses a link may lead to: a portal must not fetch from its own network for strangers.

The address that is checked is the address that is connected to: a name is
resolved once, every answer has to be public, and the socket is opened to one of
these answers.  https://owasp.org/www-community/attacks/Server_Side_Request_Forgery
"""

from __future__ import annotations

import ipaddress
import socket
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from ckanext.hdxjobs.errors import FetchError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}

#: Ranges that Python's ``is_global`` calls global, or did in some version, and that are not the public Internet.
SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's host
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


class BlockedError(OSError):
    """The name leads to an address that is not public."""


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public Internet, seen through every wrapping of IPv4 in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
    if any(address in network for network in SPECIAL if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside a mapped, NAT64 or 6to4 address."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in SIX_TO_FOUR:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None


def _is_private_literal(host: str) -> bool:
    """Whether a host is not public by its spelling: known without asking a name server or a proxy."""
    # What clients make of a host before they resolve it: full-width digits and ideographic full stops.
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".")
    try:
        return not is_public(ipaddress.ip_address(plain.split("%", 1)[0]))
    except ValueError:
        return plain.rpartition(".")[2].lower() == "localhost" or _is_odd_number(plain)


def _is_odd_number(host: str) -> bool:
    """Whether a host is an address in a spelling of old, such as "127.1", "0x7f.1" or "2130706433".

    A name never ends in a number (https://url.spec.whatwg.org/#ends-in-a-number-checker); nobody links like that
    in good faith.
    """
    last = host.rpartition(".")[2].lower()
    return last.isdecimal() or (last.startswith("0x") and all(c in string.hexdigits for c in last[2:]))


def _server(parts: SplitResult) -> tuple[str, int]:
    """Host and port of a URL; "" or 0 where it has none."""
    port = DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    return (parts.hostname or "").rstrip("."), port


@dataclass(frozen=True)
class Gate:
    """Decides about hosts.

    :ivar hosts_allowed: "host" or "host:port" of servers that may have any address and port
    """

    hosts_allowed: frozenset[str] = field(default_factory=frozenset)

    def exempts(self, host: str, port: int) -> bool:
        """Whether the site's configuration vouches for this server."""
        name = host.strip("[]").rstrip(".").lower()
        return any(
            entry.lower() in (name, f"{name}:{port}", f"[{name}]:{port}", f"[{name}]")
            for entry in self.hosts_allowed
        )

    def with_server_of(self, url: str) -> Gate:
        """A gate that also lets pass what goes to the server of this URL, which the site's configuration names."""
        try:
            host, port = _server(urlsplit(url))
        except ValueError:
            return self
        return Gate(self.hosts_allowed | {f"[{host}]:{port}"})

    def check(self, url: str) -> SplitResult:
        """The parts of a URL that may be fetched, as far as one can tell before its name is resolved.

        :raises FetchError: link-blocked
        """
        try:
            parts = urlsplit(url)
            host, port = _server(parts)
        except ValueError as error:
            raise FetchError("link-blocked") from error
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise FetchError("link-blocked")
        if not self.exempts(host, port) and (port not in DEFAULT_PORTS.values() or _is_private_literal(host)):
            raise FetchError("link-blocked")
        return parts

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them public.

        :raises BlockedError: one of them is not, or it is not a port of the web
        :raises OSError: the name cannot be resolved
        """
        if port not in DEFAULT_PORTS.values() and not self.exempts(host, port):
            raise BlockedError(host)
        answers = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        if not self.exempts(host, port):
            for text in found:
                if not is_public(ipaddress.ip_address(text.split("%", 1)[0])):
                    raise BlockedError(host)
        return found


def adapter(gate: Gate, *, opened: Callable[[socket.socket], None] = lambda _: None) -> HTTPAdapter:
    """A requests adapter whose sockets go to checked addresses only.

    :param opened: is told each socket as soon as it is connected
    """

    def connect(connection: Any) -> socket.socket:
        connected = _open(gate, connection)
        opened(connected)
        return connected

    class PlainConnection(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class SecureConnection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    pools = {"http": PlainPool, "https": SecurePool}

    class CheckedAdapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            # A SOCKS proxy needs connections of its own kind.
            if proxy.lower().startswith("http"):
                manager.pool_classes_by_scheme = pools
            return manager

    return CheckedAdapter(max_retries=0)


def _open(gate: Gate, connection: Any) -> socket.socket:
    """A socket to the first checked address that answers; the name stays for Host and TLS."""
    host, port = connection.host, connection.port
    failure: OSError = OSError(f"{host} has no address")
    for address in gate.addresses(host, port):
        try:
            return create_connection(
                (address, port), connection.timeout, socket_options=connection.socket_options
            )
        except OSError as error:
            failure = error
    raise NewConnectionError(connection, "no address of the host answers") from failure
