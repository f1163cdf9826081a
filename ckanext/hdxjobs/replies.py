"""What the URL doors have in common: caching, compression, errors, and that no form is forged."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, g
from flask_wtf.csrf import CSRFProtect
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


def refuse_forged() -> None:
    """Browsers have to bring the page's CSRF token; programs have one of their own in the header.

    CKAN's check is not enough: 2.11 leaves extensions out, and 2.11 and 2.12 exempt a page for all visitors
    of a process once a program has called it.
    """
    if current_app.config["WTF_CSRF_ENABLED"] and not g.get("login_via_auth_header"):
        CSRFProtect().protect()
