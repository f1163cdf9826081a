"""Links that lead, or pretend not to lead, into the house.  The server on loopback is the canary."""

from __future__ import annotations

import socket

import pytest
import requests
from weblinks import failure_of, get

from ckanext.hdxjobs.geopreview import guard

LOOPBACK = [
    "127.0.0.1", "localhost", "LocalHost", "localhost.", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001",
    "0X7F.0.0.1", "0177.0.0.1", "017700000001", "１２７.0.0.1", "127。0。0。1", "127｡1", "①②⑦.0.0.1", "0", "0.0.0.0", "[::1]", "[::]",
    "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[fe80::1%25lo]",
]  # fmt: skip

#: {} is the canary's address and port.
DISGUISES = [
    "http://good.example@{}/ok", "http://good.example:80@{}/ok", "http://good.example%00@{}/ok", "http://good.example\\@{}/ok",
    "http://{}#@good.example/ok", "http://{}?@good.example/ok", "ht\ttp://{}/ok", "http://\n{}/ok", " http://{}/ok", "http:{}/ok",
    "http:///{}/ok", "http:/{}/ok", "//{}/ok", "HTTP://{}/ok", "http://{}\r\nHost:good.example/ok",
]  # fmt: skip


@pytest.fixture
def port(site, monkeypatch):
    """The canary's port, as if it were one of the web's: only its address stands in the way."""
    port = site.server_address[1]
    monkeypatch.setitem(guard.DEFAULT_PORTS, "canary", port)
    return port


def answers(*addresses):
    """A name server that gives these addresses to every name."""

    def resolve(host, port, *args, **kw):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1/"])
@pytest.mark.parametrize("host", LOOPBACK)
def test_no_spelling_of_loopback_is_reached(tmp_path, site, port, host, proxy):
    assert failure_of(tmp_path, f"http://{host}:{port}/ok", allowed=(), proxy=proxy).code == "link-blocked"
    assert site.visits == []


@pytest.mark.parametrize("url", DISGUISES)
def test_no_disguise_of_a_url_reaches_loopback(tmp_path, site, port, url):
    assert failure_of(tmp_path, url.format(f"127.0.0.1:{port}"), allowed=()).code == "link-blocked"
    assert site.visits == []


@pytest.mark.parametrize(
    "target",
    ["http://localhost:{}/ok", "http://127.1:{}/ok", "http://[::ffff:127.0.0.1]:{}/ok", "//localhost:{}/ok", "file:///etc/passwd",
     "gopher://127.0.0.1:{}/ok", "data:,x", "http://user@localhost:{}/ok"],
)  # fmt: skip
def test_a_redirect_into_the_house_is_blocked(tmp_path, site, port, target):
    link = f"http://127.0.0.1:{port}/to/{target.format(port)}"
    assert failure_of(tmp_path, link, allowed=(f"127.0.0.1:{port}",)).code == "link-blocked"
    assert len(site.visits) == 1


def test_a_redirect_to_a_name_that_leads_into_the_house_is_blocked(tmp_path, site, port, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.1"))
    link = f"http://good.example:{port}/to/http://bad.example:{port}/ok"
    assert failure_of(tmp_path, link, allowed=("good.example",)).code == "link-blocked"
    assert len(site.visits) == 1


def test_a_server_that_was_allowed_once_is_asked_for_nothing_else(tmp_path, site, port):
    """An open connection gives no right to the next request."""
    link = f"http://127.0.0.1:{port}/to/http://127.0.0.1:{port + 1}/ok"
    assert failure_of(tmp_path, link, allowed=(f"127.0.0.1:{port}",)).code == "link-blocked"
    assert len(site.visits) == 1


@pytest.mark.parametrize(
    "others", [("93.184.215.14", "127.0.0.1"), ("127.0.0.1", "93.184.215.14"), ("::1",), ("fe80::1%lo",)]
)
def test_a_name_whose_answers_are_not_all_public_is_blocked(tmp_path, site, port, monkeypatch, others):
    monkeypatch.setattr(socket, "getaddrinfo", answers(*others))
    assert failure_of(tmp_path, f"http://two-faced.example:{port}/ok", allowed=()).code == "link-blocked"
    assert site.visits == []


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that changes its answer between check and connection finds nobody asking twice."""
    opened, asked = [], []

    def pretend(address, *args, **kw):
        opened.append(address)
        raise OSError

    def flip(host, port, *args, **kw):
        asked.append(host)
        return answers("93.184.215.14" if len(asked) == 1 else "127.0.0.1")(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", flip)
    monkeypatch.setattr(guard, "create_connection", pretend)
    session = requests.Session()
    session.mount("http://", guard.adapter(guard.Gate()))
    with pytest.raises(requests.ConnectionError):
        session.get("http://rebinding.example/")
    assert opened == [("93.184.215.14", 80)]


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/x", "gopher://x/", "data:application/json,{}", "jar:http://x!/", "http://", "//x/y",
     "http://[::1", "http://example.org:6379/", "http://example.org:8080/", "https://example.org:0/"],
)  # fmt: skip
def test_what_is_not_http_on_its_own_port_is_blocked(tmp_path, url):
    assert failure_of(tmp_path, url).code == "link-blocked"


def test_a_port_that_is_not_the_webs_is_refused_where_connections_are_made_as_well():
    with pytest.raises(guard.BlockedError):
        guard.Gate().addresses("example.org", 6379)


def test_a_link_to_the_proxy_itself_is_blocked(tmp_path, site, origin):
    assert failure_of(tmp_path, f"{origin}/ok", proxy=origin, allowed=()).code == "link-blocked"
    assert site.visits == []


def test_credentials_go_to_their_server_and_nowhere_else(tmp_path, site, port):
    link = f"http://user:hush@127.0.0.1:{port}/to/http://localhost:{port}/ok"
    get(tmp_path, link, allowed=("127.0.0.1", "localhost"))
    (_, first), (_, second) = site.visits
    assert "Authorization" in first
    assert "Authorization" not in second
    assert "Referer" not in second


def test_credentials_are_not_repeated_for_another_page_of_their_server(tmp_path, site, port):
    get(tmp_path, f"http://user:hush@127.0.0.1:{port}/to//ok")
    (_, first), (_, second) = site.visits
    assert ("Authorization" in first, "Authorization" in second) == (True, False)
