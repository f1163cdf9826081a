"""How the site sends the map page's files."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from ckanext.hdxjobs import files

pytestmark = pytest.mark.usefixtures("with_plugins")

SCRIPT = "/hdxjobs/hdxjobs-map.js"


def test_a_script_comes_compressed(app: Any) -> None:
    reply = app.get(SCRIPT, headers={"Accept-Encoding": "gzip"})

    assert b"startMap" in gzip.decompress(reply.data)
    assert reply.headers["Content-Type"].startswith("text/javascript")


def test_a_client_without_gzip_gets_it_plain(app: Any) -> None:
    assert "startMap" in app.get(SCRIPT, headers={"Accept-Encoding": "identity"}).body


def test_a_script_of_this_version_may_be_kept(app: Any) -> None:
    reply = app.get(f"{SCRIPT}?v={files.version()}")

    assert "immutable" in reply.headers["Cache-Control"]


def test_a_script_asked_for_by_another_version_must_not_be_kept(app: Any) -> None:
    assert app.get(f"{SCRIPT}?v=another").headers["Cache-Control"] == "no-cache"


def test_a_known_script_is_not_sent_again(app: Any) -> None:
    first = app.get(SCRIPT)

    again = app.get(SCRIPT, headers={"If-None-Match": first.headers["ETag"]}, status=304)

    assert again.data == b""


def test_a_file_that_is_not_there_is_not_found(app: Any) -> None:
    app.get("/hdxjobs/nothing.js", status=404)
