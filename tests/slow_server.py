"""A web server that sends a file piece by piece, each when a test says so."""

from __future__ import annotations

import http.server
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds after which a test that forgot its server lets it go.
PATIENCE_S = 120


class SlowServer:
    """Serves one file to one client.

    :ivar url: of the file
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._sent = 0
        self._pieces: queue.Queue[bytes | None] = queue.Queue()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                while (piece := outer._pieces.get(timeout=PATIENCE_S)) is not None:
                    self.wfile.write(piece)
                    self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}/slow.geojson"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def send(self, byte_count: int) -> None:
        """The next bytes of the file."""
        self._pieces.put(self._content[self._sent : self._sent + byte_count])
        self._sent += byte_count

    def finish(self) -> None:
        """All the rest."""
        self.send(len(self._content))
        self._pieces.put(None)

    def close(self) -> None:
        self._pieces.put(None)
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def slow_server(content: bytes) -> Iterator[SlowServer]:
    server = SlowServer(content)
    try:
        yield server
    finally:
        server.close()
