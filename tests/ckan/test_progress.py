"""What a running job tells of how far it is, while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import makers
import pytest
from ckan import model
from slow_server import slow_server
from workers import DEADLINE_S

from ckanext.hdxjobs.errors import LoadError
from ckanext.hdxjobs.geopreview import attempt, job, record
from ckanext.hdxjobs.geopreview.pulse import Pulse
from ckanext.hdxjobs.geopreview.values import Phase, Progress, State
from ckanext.hdxjobs.messages import ENGLISH

Call = Callable[..., Any]

STEP_BYTES = 300_000
BODY = makers.geojson(*(makers.feature(makers.point(n % 90, n % 80), text="x" * 500) for n in range(2000)))


@contextmanager
def running(resource_id: str) -> Iterator[None]:
    """The resource's job, in a thread of its own."""

    def work() -> None:
        job.run_preview(resource_id, 1)
        model.Session.remove()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE_S)


@pytest.fixture
def linked(dataset: dict[str, Any], call: Call, ckan_config: Any, monkeypatch: Any) -> Callable[[Any], str]:
    """A resource that links to a server; its id."""

    def link(server: Any) -> str:
        monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.geopreview.link_hosts_allowed", [server.host])
        made = call("resource_create", package_id=dataset["id"], url=server.url, format="GeoJSON")
        return str(made["id"])

    return link


def wait_for_bytes(resource_id: str, done: int) -> dict[str, Any]:
    """The status as soon as it tells of so many."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        status = record.told(record.find(resource_id), ENGLISH)
        model.Session.remove()
        if (status["progress_detail"] or {}).get("done") == done:
            return status
        assert time.monotonic() < deadline, f"waited too long; at last: {status}"
        time.sleep(0.1)


def test_a_slow_download_shows_the_bytes_that_have_come(linked: Callable[[Any], str], call: Call) -> None:
    with slow_server(BODY) as server:
        resource_id = linked(server)
        with running(resource_id):
            told: list[dict[str, Any]] = []
            for _ in range(3):
                server.send(STEP_BYTES)
                told.append(wait_for_bytes(resource_id, STEP_BYTES * (len(told) + 1)))
            server.finish()
    assert [status["progress_detail"] for status in told] == [
        {"done": done, "total": len(BODY), "unit": "bytes"}
        for done in (STEP_BYTES, 2 * STEP_BYTES, 3 * STEP_BYTES)
    ]
    assert [status["phase"] for status in told] == ["fetch"] * 3
    assert told[0]["progress"] == pytest.approx(STEP_BYTES / len(BODY))
    assert call("hdx_geopreview_status", id=resource_id)["state"] == "ready"


def test_a_step_that_cannot_tell_is_watched(dataset: dict[str, Any], call: Call) -> None:
    resource_id = call("resource_create", package_id=dataset["id"], url="https://example.org/a.geojson")["id"]
    claim = attempt.claim(resource_id, 1)
    assert claim is not None
    with Pulse(claim) as pulse, pulse.phase(Phase.DETECT, watched=lambda: Progress(5, 20, "bytes")):
        status = wait_for_bytes(resource_id, 5)
    assert (status["phase"], status["progress"]) == ("detect", 0.25)


def _again(claim: attempt.Claim) -> None:
    assert attempt.again(claim, above=1)


def _failed(claim: attempt.Claim) -> None:
    assert attempt.fail(claim, LoadError("internal")) is State.FAILED


@pytest.mark.parametrize("ending", [_again, _failed])
def test_nothing_is_left_of_progress_when_the_job_is_done(
    dataset: dict[str, Any],
    call: Call,
    row: Callable[[str], dict[str, Any]],
    ending: Callable[[attempt.Claim], None],
) -> None:
    resource_id = call("resource_create", package_id=dataset["id"], url="https://example.org/a.geojson")["id"]
    claim = attempt.claim(resource_id, 1)
    assert claim is not None
    assert attempt.beat(claim, phase="load", progress=Progress(3, 4, "features"))
    before = row(resource_id)
    ending(claim)
    after = row(resource_id)
    columns = ("progress", "progress_done", "progress_total", "progress_unit")
    assert [before[column] for column in columns] == [0.75, 3, 4, "features"]
    assert [after[column] for column in columns] == [None] * 4


def test_the_log_tells_how_much_a_finished_step_had(
    dataset: dict[str, Any], call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    resource_id = call("resource_create", package_id=dataset["id"], url="https://example.org/a.geojson")["id"]
    claim = attempt.claim(resource_id, 1)
    assert claim is not None
    with caplog.at_level("INFO"), Pulse(claim) as pulse, pulse.phase(Phase.LOAD):
        pulse.progress(Progress(7, None, "features"))
    (line,) = [message for message in caplog.messages if "load took" in message]
    assert line.startswith(f"Preview of {resource_id}, generation 1: load took ")
    assert line.endswith(" s, 7 features")


def test_the_log_tells_how_long_a_step_took_that_was_left(
    dataset: dict[str, Any], call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    resource_id = call("resource_create", package_id=dataset["id"], url="https://example.org/a.geojson")["id"]
    claim = attempt.claim(resource_id, 1)
    assert claim is not None
    with caplog.at_level("INFO"), Pulse(claim) as pulse, pytest.raises(LoadError), pulse.phase(Phase.LOAD):
        raise LoadError("internal")
    assert [message for message in caplog.messages if "generation 1: load was left after " in message]
