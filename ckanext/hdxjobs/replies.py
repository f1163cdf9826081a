"""What the URL doors answer with: caching, compression and errors, the same way everywhere."""

from __future__ import annotations

from typing import Any

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request

#: Seconds after which a client may ask a busy map database again.
RETRY_AFTER_S = 5


class OwnResponse(Response):
    """A response that keeps its caching headers: CKAN writes its own over those of all pages."""

    caching = "private, no-store"

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["Cache-Control"] = self.caching
        headers["Vary"] = "Accept-Encoding"
        headers.remove("Set-Cookie")
        return headers


def takes_gzip(request: Request) -> bool:
    """Whether this client can read what is compressed."""
    return bool(request.accept_encodings["gzip"])


def with_etag(answer: OwnResponse, digest: str, request: Request) -> OwnResponse:
    """The answer under a strong ETag (RFC 9110, 8.8.3), a compressed one under another; 304 for who has it."""
    answer.set_etag(digest + "-gzip" * ("Content-Encoding" in answer.headers))
    answer.make_conditional(request.environ)
    return answer


def text(status: int, content: str, *, mimetype: str = "text/plain") -> OwnResponse:
    """A plain answer that tells nothing about who asked for what."""
    return OwnResponse(content + "\n", status=status, mimetype=mimetype)


def busy(content: str, *, mimetype: str = "text/plain") -> OwnResponse:
    """503: come back in a moment."""
    answer = text(503, content, mimetype=mimetype)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer
