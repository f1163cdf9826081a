"""The child process: what it may not do, and what becomes of the worker when it breaks."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import reader
from ckanext.hdxjobs.geopreview.formats import FORMATS

PATIENCE_S = 60
LIMITS = reader.Limits(timeout_s=PATIENCE_S, memory_bytes=4 * 1024**3)


@pytest.fixture
def towns(tmp_path):
    path = tmp_path / "layer.geojson"
    path.write_bytes(makers.towns())
    return path


def inspect(path, *, format_name="GeoJSON", limits=LIMITS):
    with reader.Readers(limits) as readers:
        return readers.inspect(path, format_=FORMATS[format_name])


def rows(path, *, format_name="GeoJSON", layer="", limits=LIMITS):
    with (
        reader.Readers(limits) as readers,
        readers.stream(path, format_=FORMATS[format_name], layer=layer, encoding="UTF-8") as stream,
    ):
        return [row for batch in stream.batches for row in batch.to_pylist()]


@pytest.fixture
def shim(tmp_path, monkeypatch):
    """Puts a script in the parser's place."""

    def install(body: str) -> None:
        (tmp_path / "shim.py").write_text(body)
        launcher = tmp_path / "python"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "shim.py"}" "$@"\n')
        launcher.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(launcher))

    return install


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_reader_killed_by_a_signal_is_a_crash_and_the_next_one_works(towns, shim, monkeypatch, number):
    shim(f"import os; os.kill(os.getpid(), {int(number)})")
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns)
    assert caught.value.code == "reader-crashed"
    monkeypatch.undo()
    assert len(rows(towns)) == 3


def test_a_reader_that_hangs_is_stopped_at_its_deadline(towns, shim):
    shim("import time; time.sleep(600)")
    start = time.monotonic()
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns, limits=reader.Limits(timeout_s=1, memory_bytes=10**9))
    assert (caught.value.code, caught.value.params) == ("too-slow", {"limit": 1})
    assert time.monotonic() - start < PATIENCE_S


def test_a_reader_that_hangs_in_the_middle_of_a_stream_is_stopped(towns, shim):
    shim("import sys, time; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(600)")
    limits = reader.Limits(timeout_s=1, memory_bytes=10**9)
    with pytest.raises(errors.DetectError) as caught:
        rows(towns, limits=limits)
    assert caught.value.code == "too-slow"


@pytest.mark.parametrize(
    "said",
    ["not json", "[]", '{"error": {"code": "made-up"}}', '{"error": 1}', '{"error": {"code": "unreadable"}}'],
)
def test_a_reader_that_talks_nonsense_is_not_believed(towns, shim, said):
    shim(f"import json, os, sys; os.write(json.loads(sys.stdin.readline())['report_fd'], {said!r}.encode())")
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns)
    assert caught.value.code in {"reader-crashed", "internal"}


def test_the_bytes_read_are_told_while_a_file_is_described(tmp_path):
    path = tmp_path / "layer.geojson"
    features = ",".join(['{"type":"Feature","properties":{},"geometry":null}'] * 400_000)
    path.write_text(f'{{"type":"FeatureCollection","features":[{features}]}}')
    told = set()
    until = time.monotonic() + PATIENCE_S
    # Who looks seldom sees little of one reading, and more of the next.
    while len({progress.done for progress in told}) <= 5 and time.monotonic() < until:
        with reader.Readers(LIMITS) as readers:
            work = threading.Thread(
                target=readers.inspect, args=(path,), kwargs={"format_": FORMATS["GeoJSON"]}
            )
            work.start()
            while work.is_alive():
                told |= {readers.bytes_read()} - {None}
    assert {progress.total for progress in told} == {path.stat().st_size}
    assert len({progress.done for progress in told}) > 5


def test_a_reader_that_needs_too_much_memory_fails_alone(tmp_path):
    path = tmp_path / "layer.geojson"
    start, end = (
        b'{"type": "Feature", "properties": {}, "geometry": {"type": "LineString", "coordinates": [',
        b"]}}",
    )
    path.write_bytes(start + b"[1.5,2.5]," * 3_000_000 + b"[1,2]" + end)
    with pytest.raises(errors.DetectError) as caught:
        inspect(path, limits=reader.Limits(timeout_s=60, memory_bytes=1024**3))
    assert (caught.value.code, caught.value.params) == ("too-much-memory", {"limit": "1 GB"})


def test_a_reader_that_dies_young_did_not_want_memory(towns, shim):
    shim("import os, signal, sys; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns)
    assert (caught.value.code, caught.value.params) == ("reader-crashed", {"format": "GeoJSON"})


def test_a_reader_that_dies_for_want_of_memory_is_told_from_one_that_just_dies(towns, shim):
    shim(
        'import os, sys; sys.stdin.readline(); os.write(2, b"terminate called after throwing an instance of'
        " 'std::bad_alloc'\"); os.abort()"
    )
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns)
    assert caught.value.code == "too-much-memory"


def test_nothing_is_left_of_children_that_were_stopped(towns, shim, monkeypatch):
    children = []

    class Remembered(subprocess.Popen):
        def __init__(self, *args, **kw):
            super().__init__(*args, **kw)
            children.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Remembered)
    shim("import time; time.sleep(600)")
    limits = reader.Limits(timeout_s=1, memory_bytes=10**9)
    with pytest.raises(errors.DetectError):
        inspect(towns, limits=limits)
    assert children
    assert [pid for pid in children if os.path.exists(f"/proc/{pid}")] == []


def test_the_parser_dies_with_the_worker(towns, tmp_path):
    """A worker killed by SIGKILL must not leave a parser behind that goes on eating memory."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from ckanext.hdxjobs.geopreview import reader\n"
        "limits = reader.Limits(timeout_s=60, memory_bytes=4 * 1024**3)\n"
        "from ckanext.hdxjobs.geopreview.formats import FORMATS\n"
        "readers = reader.Readers(limits)\n"
        f"readers.inspect(Path({str(towns)!r}), format_=FORMATS['GeoJSON'])\n"
        "print(readers._child._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(worker.stdout.readline())
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + PATIENCE_S
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_the_child_sees_no_environment_of_ours(towns, shim, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hush")
    seen = tmp_path / "environment"
    shim(f"import os, json; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))")
    with pytest.raises(errors.DetectError):
        inspect(towns)
    environment = json.loads(seen.read_text())
    assert "PGPASSWORD" not in environment
    assert environment["TMPDIR"] == str(tmp_path)


WITHOUT_WALLS = (
    "import sys\n"
    "from ckanext.hdxjobs.geopreview import cage, parser\n"
    "stands = cage.close\n"
    "def close(cage_, *, parent_pid):\n"
    "    walls = stands(cage_, parent_pid=parent_pid)\n"
    "    return walls | dict.fromkeys(['network', 'calls'], 'not possible here: Operation not permitted')\n"
    "cage.close = close\n"
    "parser.main()\n"
)


def test_a_reader_that_can_reach_the_network_reads_nothing_where_the_sandbox_is_required(towns, shim):
    shim(WITHOUT_WALLS)
    with pytest.raises(errors.DetectError) as caught:
        inspect(towns, limits=dataclasses.replace(LIMITS, sandbox="require"))
    assert caught.value.code == "sandbox-missing"
    assert caught.value.failure.retryable


@pytest.mark.parametrize("sandbox", ["auto", "off"])
def test_a_reader_that_can_reach_the_network_reads_on_where_the_sandbox_is_not_required(towns, shim, sandbox):
    shim(WITHOUT_WALLS)
    assert len(inspect(towns, limits=dataclasses.replace(LIMITS, sandbox=sandbox))) == 1


@pytest.mark.parametrize("sandbox", ["auto", "require", "off"])
def test_a_file_is_read_with_every_setting_of_the_sandbox(towns, sandbox):
    assert len(rows(towns, limits=dataclasses.replace(LIMITS, sandbox=sandbox))) == 3


@pytest.fixture(scope="module")
def loopback():
    """A server on loopback, and a list of who came."""
    visits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], visits
    server.shutdown()
    server.server_close()


@pytest.fixture
def canary(loopback):
    """The server, to which nobody has come yet."""
    loopback[1].clear()
    return loopback


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("suffix", [".geojson", ".vrt"])
def test_a_vrt_is_followed_by_no_driver_whatever_its_name_is(tmp_path, canary, format_name, suffix):
    port, visits = canary
    (tmp_path / "secret.csv").write_text("x,y\n1,2\n")
    sources = (tmp_path / "secret.csv", f"/vsicurl/http://127.0.0.1:{port}/x.geojson", "PG:host=127.0.0.1")
    layers = "".join(
        f'<OGRVRTLayer name="secret"><SrcDataSource>{source}</SrcDataSource></OGRVRTLayer>'
        for source in sources
    )
    path = tmp_path / f"layer{suffix}"
    path.write_text(f"<OGRVRTDataSource>{layers}</OGRVRTDataSource>")
    with pytest.raises(errors.DetectError):
        inspect(path, format_name=format_name)
    assert visits == []


def test_a_network_link_in_a_kml_is_not_followed(tmp_path, canary):
    port, visits = canary
    link = f"<NetworkLink><Link><href>http://127.0.0.1:{port}/x.kml</href></Link></NetworkLink>"
    path = tmp_path / "layer.kml"
    path.write_bytes(makers.kml(("Towns", makers.town_placemarks() + link)))
    assert len(rows(path, format_name="KML", layer="Towns")) >= 3
    assert visits == []


def test_an_entity_in_a_kml_reads_no_file(tmp_path):
    (tmp_path / "secret").write_text("the secret")
    doctype = f'<!DOCTYPE kml [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
    body = makers.kml(("Towns", makers.placemark("&x;", 1, 2))).decode().replace("<kml", doctype + "<kml", 1)
    path = tmp_path / "layer.kml"
    path.write_text(body)
    said = []
    with contextlib.suppress(errors.DetectError):
        said = rows(path, format_name="KML", layer="Towns")
    assert "the secret" not in str(said)


def test_a_collection_that_links_to_a_server_asks_nobody(tmp_path, canary):
    port, visits = canary
    path = tmp_path / "layer.geojson"
    path.write_bytes(
        makers.geojson(
            makers.feature(makers.point(1, 2)),
            links=[{"rel": "next", "href": f"http://127.0.0.1:{port}/next"}],
        )
    )
    assert len(rows(path)) == 1
    assert visits == []


def test_the_canary_sings_when_somebody_comes(canary):
    port, visits = canary
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
        client.recv(100)
    assert visits == ["/hello"]
