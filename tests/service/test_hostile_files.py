"""Files that reach for other files, servers and databases get nothing, in the cage and without it.

Without it (setting off) only the choice of one driver, its options and our own look at files stand in the way.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import lures
import pytest
from conftest import LIMITS

from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import detect, reader
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Download

SECRET = "the canary's secret"
#: From <sys/inotify.h>.
IN_NONBLOCK, IN_ACCESS, IN_OPEN = 0o4000, 0x1, 0x20


@dataclass
class Canaries:
    """A file and a port; both tell who came."""

    bait: lures.Bait
    _watch: int
    _calls: list[str] = field(default_factory=list)

    def heard(self) -> list[str]:
        """What was touched since the last time."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._watch, 4096):
                self._calls.append("file")
        found, self._calls[:] = list(self._calls), []
        return found


@pytest.fixture(scope="module")
def canaries(tmp_path_factory):
    file = tmp_path_factory.mktemp("canary") / "secret.csv"
    file.write_text(f"x,y,name\n1,2,{SECRET}\n")
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(IN_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(file), IN_OPEN | IN_ACCESS) > 0
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    bait = lures.Bait(
        str(file), f"http://127.0.0.1:{port}", f"PG:host=127.0.0.1 port={port} dbname=maps user=loader"
    )
    result = Canaries(bait, watch)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = server.accept()
                result._calls.append("port")
                caller.close()

    threading.Thread(target=listen, daemon=True).start()
    yield result
    server.close()
    os.close(watch)


@pytest.fixture
def quiet(canaries):
    """The canaries, which must not have sung when the test is over."""
    canaries.heard()
    yield canaries
    assert canaries.heard() == []


def ended(lure, bait, folder, sandbox, preferred):
    """How a file ends, and all that anybody is told of it."""
    path = folder / "download"
    path.write_bytes(lure.build(bait))
    download = Download("res", 1, path, lure.file_name, "", path.stat().st_size, "")
    said = []
    try:
        with reader.Readers(dataclasses.replace(LIMITS, sandbox=sandbox), preferred=preferred) as readers:
            layers, notices = detect.detect(
                download,
                folder=folder,
                max_unpacked_bytes=10**8,
                max_layers=50,
                formats=frozenset(FORMATS),
                readers=readers,
            )
            said += [layers, notices]
            count = 0
            for layer in layers:
                with readers.stream(
                    layer.path,
                    format_=FORMATS[layer.format],
                    layer=layer.name_in_file,
                    encoding=layer.encoding,
                    coordinates=layer.coordinates,
                ) as stream:
                    for batch in stream.batches:
                        count += len(batch)
                        said.append(batch.to_pylist())
    except PreviewError as error:
        return error.code, f"{said} {error} {error.params}"
    return f"drawn {count}", str(said)


@pytest.mark.parametrize(
    ("sandbox", "preferred"), [("auto", "pyogrio"), ("off", "pyogrio"), ("off", "ogr2ogr")]
)
@pytest.mark.parametrize("lure", lures.LURES, ids=lambda lure: lure.name)
def test_a_file_that_reaches_out_gets_nothing(quiet, tmp_path, lure, sandbox, preferred):
    outcome, said = ended(lure, quiet.bait, tmp_path, sandbox, preferred)
    assert outcome == ((preferred == "ogr2ogr" and lure.by_ogr2ogr) or lure.outcome)
    assert SECRET not in said


def opened_by_all_of_gdal(path):
    script = (
        "import sys, pyogrio\n"
        "for name in pyogrio.list_layers(sys.argv[1])[:, 0]:\n"
        "    try:\n        pyogrio.raw.read(sys.argv[1], layer=name)\n"
        "    except Exception as error:\n        print(error)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, timeout=120, check=False)


def test_the_canaries_sing_when_gdal_is_let_loose(canaries, tmp_path):
    canaries.heard()
    path = tmp_path / "layer.vrt"
    path.write_bytes(lures.vrt(canaries.bait))
    opened_by_all_of_gdal(path)
    assert {"file", "port"} <= set(canaries.heard())
