"""A web server that behaves as its paths say, and downloads from it: real sockets, real lies."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import socket
import threading

import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import fetch
from ckanext.hdxjobs.geopreview.values import Link, Source

BODY = makers.towns()
#: For servers that answer: more than a busy machine takes.
PATIENCE_S = 60
#: Who asks for these has left when the server may not have heard of it: it would come to the next test's list.
GIVEN_UP = frozenset({"hang", "drip", "drip-headers"})


class Site(http.server.BaseHTTPRequestHandler):
    """A server that behaves as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.removeprefix("http://example.org")  # what a proxy is asked for
        name = path.split("/")[1].partition("?")[0]
        if name not in GIVEN_UP:
            self.server.visits.append((self.path, dict(self.headers)))
        getattr(self, "do_" + name.replace("-", "_"))()

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

    def do_announced(self):
        """/announced/BYTES, of which none come."""
        self.reply(length=int(self.path.rpartition("/")[2]))
        self.close_connection = True

    def do_endless(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b" " * 65536)

    def do_hang(self):
        self.server.release.wait(PATIENCE_S)
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

    def do_encoded(self):
        """/encoded/ENCODING: a million blanks, or what is no compression at all."""
        encoding = self.path.rpartition("/")[2]
        body = gzip.compress(b" " * 1_000_000) if "gzip" in encoding else b"not compressed"
        self.reply(body, **{"Content-Encoding": encoding})

    def do_trickle_gzip(self):
        """A compressed body whose first bytes decode to nothing yet."""
        body = gzip.compress(BODY)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        for part in (body[:10], body[10:]):
            self.wfile.write(part)
            self.wfile.flush()
        self.close_connection = True

    def do_busy(self):
        """/busy/STATUS/RETRY-AFTER"""
        _, _, status, retry_after = self.path.split("/")
        self.reply(status=int(status), **{"Retry-After": retry_after})

    def do_named(self):
        self.reply(BODY, **{"Content-Disposition": 'attachment; filename="camps 2026.geojson"'})

    def do_cookie(self):
        """A site that only serves browsers that it has met."""
        if "seen=1" in self.headers.get("Cookie", ""):
            self.reply(BODY)
        else:
            self.reply(status=302, Location="/cookie", **{"Set-Cookie": "seen=1"})

    def do_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


@contextlib.contextmanager
def serving():
    """The server, while the context lasts; its visits are (path, headers), but for those that nobody waits for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.visits, server.release = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def get(folder, link=None, *, allowed=("127.0.0.1",), open_upload=None, **kw):
    """``fetch`` with limits for tests; links to this machine's 127.0.0.1 are allowed."""
    link = Link(link) if isinstance(link, str) else link
    source = Source("r", 1, "towns.geojson", "GeoJSON", open_upload=open_upload, link=link)
    settings = {
        "max_bytes": 10**6,
        "connect_timeout_s": PATIENCE_S,
        "read_timeout_s": PATIENCE_S,
        "deadline_s": PATIENCE_S,
        "proxy": None,
        "progress": lambda share: None,
        **kw,
    }
    return fetch.fetch(source, folder=folder, hosts_allowed=frozenset(allowed), **settings)


def failure_of(folder, link=None, **kw):
    """The error; nothing may be left of the download."""
    with pytest.raises(errors.FetchError) as caught:
        get(folder, link, **kw)
    assert list(folder.iterdir()) == []
    return caught.value
