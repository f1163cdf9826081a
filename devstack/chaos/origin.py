"""A web server elsewhere, with files that resources link to, which can keep its visitors waiting."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devstack.chaos import files

#: Seconds after which a visitor is served in any case.
PATIENCE_S = 60


class Origin:
    """Gives out any long file by its name.

    :ivar host: name and port
    """

    def __init__(self) -> None:
        self._shut, self._asked = threading.Event(), threading.Event()
        self._may_go = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.content_of(self.path)
                body = files.long(content.mark).content if content else b""
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2
                self.wfile.write(body[:half])
                outer._wait()
                self.wfile.write(body[half:])

            def log_message(self, *_: Any) -> None:
                """It has no log."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, file: files.File) -> str:
        return f"http://{self.host}/{file.name}"

    @contextmanager
    def held(self) -> Iterator[threading.Event]:
        """Whoever comes has half of a file, and the rest afterwards; gives the event that somebody came."""
        self._asked.clear()
        self._may_go.clear()
        self._shut.set()
        try:
            yield self._asked
        finally:
            self._shut.clear()
            self._may_go.set()

    def _wait(self) -> None:
        if self._shut.is_set():
            self._asked.set()
            self._may_go.wait(PATIENCE_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
