"""Links and uploads: real sockets, real lies."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time

import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import fetch, guard
from ckanext.hdxjobs.geopreview.values import Source

BODY = makers.towns()


class Site(http.server.BaseHTTPRequestHandler):
    """A server that behaves as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.visits.append((self.path, dict(self.headers)))
        path = self.path.removeprefix("http://example.org")  # what a proxy is asked for
        getattr(self, "do_" + path.split("/")[1].partition("?")[0].replace("-", "_"))()

    def log_message(self, *args):
        pass

    def reply(self, body=b"", *, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_ok(self):
        self.reply(BODY)

    def do_status(self):
        self.reply(status=int(self.path.rpartition("/")[2]))

    def do_short(self):
        self.reply(BODY[:50], length=len(BODY))
        self.close_connection = True

    def do_long(self):
        self.reply(BODY, length=50)
        self.close_connection = True

    def do_announced_huge(self):
        self.reply(length=10**12)
        self.close_connection = True

    def do_endless(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b" " * 65536)

    def do_hang(self):
        self.server.release.wait(30)
        self.close_connection = True

    def do_drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.release.wait(0.05):
                self.wfile.write(b" ")

    def do_drip_headers(self):
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.release.wait(0.05):
                self.wfile.write(b"x")

    def do_to(self):
        self.reply(status=302, Location=self.path.removeprefix("/to/"))

    def do_loop(self):
        self.reply(status=302, Location="/loop")

    def do_nowhere(self):
        self.reply(status=302)

    def do_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.visits, server.release = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def origin(site):
    site.visits.clear()
    return f"http://127.0.0.1:{site.server_address[1]}"


def get(tmp_path, link=None, *, allowed=("127.0.0.1",), open_upload=None, **kw):
    source = Source("r", 1, "towns.geojson", "GeoJSON", open_upload=open_upload, link=link)
    settings = {
        "max_bytes": 10**6,
        "connect_timeout_s": 2,
        "read_timeout_s": 2,
        "deadline_s": 10,
        "proxy": None,
        "progress": lambda share: None,
        **kw,
    }
    return fetch.fetch(source, folder=tmp_path, hosts_allowed=frozenset(allowed), **settings)


def failure_of(tmp_path, link=None, **kw):
    with pytest.raises(errors.FetchError) as caught:
        get(tmp_path, link, **kw)
    assert list(tmp_path.iterdir()) == []
    return caught.value


def test_a_link_is_downloaded(tmp_path, origin):
    download = get(tmp_path, f"{origin}/ok")
    assert download.path.read_bytes() == BODY
    assert download.byte_count == len(BODY)


def test_an_upload_is_read_from_storage(tmp_path):
    download = get(tmp_path, open_upload=lambda: iter([BODY[:10], BODY[10:]]))
    assert download.path.read_bytes() == BODY


def test_an_upload_that_is_gone_has_a_code_of_its_own(tmp_path):
    def gone():
        raise FileNotFoundError
        yield b""

    assert failure_of(tmp_path, open_upload=gone).code == "file-missing"


def test_an_upload_over_the_cap_is_refused(tmp_path):
    error = failure_of(tmp_path, open_upload=lambda: iter([b"x" * 600, b"x" * 600]), max_bytes=1024)
    assert (error.code, error.params) == ("file-too-big", {"limit": "1 kB"})


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "link-not-found"), (410, "link-not-found"), (401, "link-refused"), (403, "link-refused"), (418, "link-refused"),
     (408, "link-unreachable"), (429, "link-unreachable"), (500, "link-unreachable"), (503, "link-unreachable")],
)  # fmt: skip
def test_a_status_that_is_no_file_has_its_code(tmp_path, origin, status, code):
    assert failure_of(tmp_path, f"{origin}/status/{status}").code == code


def test_a_body_shorter_than_announced_is_cut_off(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/short")
    assert (error.code, error.params) == ("link-cut-off", {"received": 50, "expected": len(BODY)})


def test_a_body_longer_than_announced_ends_where_it_was_announced(tmp_path, origin):
    assert get(tmp_path, f"{origin}/long").byte_count == 50


def test_a_body_announced_over_the_cap_is_refused_at_once(tmp_path, origin):
    assert failure_of(tmp_path, f"{origin}/announced-huge").code == "file-too-big"


def test_a_body_without_end_is_stopped_at_the_cap(tmp_path, origin):
    assert failure_of(tmp_path, f"{origin}/endless").code == "file-too-big"


def test_a_server_that_hangs_is_given_up(tmp_path, origin):
    start = time.monotonic()
    assert failure_of(tmp_path, f"{origin}/hang", read_timeout_s=0.3).code == "link-unreachable"
    assert time.monotonic() - start < 5


def test_a_server_that_drips_is_given_up_at_the_deadline(tmp_path, origin):
    start = time.monotonic()
    assert failure_of(tmp_path, f"{origin}/drip", deadline_s=0.5).code == "link-unreachable"
    assert time.monotonic() - start < 5


def test_a_server_that_drips_its_headers_is_given_up_at_the_deadline(tmp_path, origin):
    start = time.monotonic()
    error = failure_of(tmp_path, f"{origin}/drip-headers", deadline_s=0.5)
    assert (error.code, error.params) == ("link-unreachable", {"reason": "it took too long"})
    assert time.monotonic() - start < 5


def test_a_connection_reset_may_pass(tmp_path, origin):
    error = failure_of(tmp_path, f"{origin}/reset")
    assert error.code == "link-unreachable"
    assert error.failure.retryable


def test_nobody_listening_may_pass(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert failure_of(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/").code == "link-unreachable"


def test_redirects_are_followed(tmp_path, origin):
    assert get(tmp_path, f"{origin}/to//to//ok").byte_count == len(BODY)


@pytest.mark.parametrize("path", ["loop", "nowhere"])
def test_redirects_without_end_are_given_up(tmp_path, origin, path):
    assert failure_of(tmp_path, f"{origin}/{path}").code == "link-unreachable"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "１２７.0.0.1", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0.0.0.0", "[::]", "127.0.0.1."],
)  # fmt: skip
def test_no_spelling_of_loopback_is_reached(tmp_path, site, origin, host, monkeypatch):
    port = site.server_address[1]
    monkeypatch.setitem(guard.DEFAULT_PORTS, "canary", port)
    assert failure_of(tmp_path, f"http://{host}:{port}/ok", allowed=()).code in {
        "link-blocked",
        "link-unreachable",
    }
    assert site.visits == []


def test_a_redirect_into_the_house_is_blocked(tmp_path, site, origin):
    port = site.server_address[1]
    error = failure_of(tmp_path, f"{origin}/to/http://localhost:{port}/ok", allowed=(f"127.0.0.1:{port}",))
    assert error.code == "link-blocked"
    assert [path for path, _ in site.visits] == [f"/to/http://localhost:{port}/ok"]


def test_a_name_whose_answers_are_not_all_public_is_blocked(tmp_path, site, origin, monkeypatch):
    port = site.server_address[1]
    monkeypatch.setitem(guard.DEFAULT_PORTS, "canary", port)
    monkeypatch.setattr(socket, "getaddrinfo", _answers("93.184.215.14", "127.0.0.1", port=port))
    assert failure_of(tmp_path, f"http://two-faced.example:{port}/ok", allowed=()).code == "link-blocked"
    assert site.visits == []


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that changes its answer between check and connection finds nobody asking twice."""
    opened = []

    def pretend(address, *args, **kw):
        opened.append(address)
        raise OSError

    asked = []

    def flip(host, port, *args, **kw):
        asked.append(host)
        return _answers("93.184.215.14" if len(asked) == 1 else "127.0.0.1", port=port)(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", flip)
    monkeypatch.setattr(guard, "create_connection", pretend)
    session = fetch.requests.Session()
    session.mount("http://", guard.adapter(guard.Gate()))
    with pytest.raises(fetch.requests.ConnectionError):
        session.get("http://rebinding.example/")
    assert opened == [("93.184.215.14", 80)]


def _answers(*addresses, port):
    def resolve(*args, **kw):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "gopher://x/",
        "http://",
        "//x/y",
        "http://[::1",
        "http://example.org:6379/",
    ],
)
def test_what_is_not_http_on_its_own_port_is_blocked(tmp_path, url):
    assert failure_of(tmp_path, url).code == "link-blocked"


def test_credentials_go_to_their_server_and_nowhere_else(tmp_path, site, origin):
    port = site.server_address[1]
    get(
        tmp_path,
        f"http://user:hush@127.0.0.1:{port}/to/http://localhost:{port}/ok",
        allowed=("127.0.0.1", "localhost"),
    )
    (_, first), (_, second) = site.visits
    assert "Authorization" in first
    assert "Authorization" not in second
    assert "Referer" not in second


@pytest.mark.parametrize("path", ["status/404", "reset", "short", "hang"])
def test_errors_never_tell_the_link(tmp_path, origin, path):
    link = f"{origin.replace('//', '//user:hush@')}/{path}?token=hush"
    error = failure_of(tmp_path, link, read_timeout_s=0.3)
    assert "hush" not in repr((error, error.params, error.__cause__))


def test_the_environment_of_the_worker_does_not_matter(tmp_path, origin, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert get(tmp_path, f"{origin}/ok").byte_count == len(BODY)


def test_a_proxy_is_asked_when_there_is_one(tmp_path, site, origin):
    assert get(tmp_path, "http://example.org/ok", proxy=origin, allowed=()).byte_count == len(BODY)
    assert [path for path, _ in site.visits] == ["http://example.org/ok"]


def test_progress_tells_the_share_that_has_come(tmp_path, origin):
    shares = []
    get(tmp_path, f"{origin}/ok", progress=shares.append)
    assert shares[-1] == 1.0
