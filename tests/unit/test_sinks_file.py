"""The file of events: several processes, rotation, and what a kill leaves behind."""

from __future__ import annotations

import json
import multiprocessing
import signal
import uuid
from datetime import datetime, timezone

import pytest

from ckanext.hdxjobs.analytics import sinks
from ckanext.hdxjobs.analytics.events import Envelope


def batch(count, **properties):
    now = datetime.now(timezone.utc)
    return [Envelope(str(uuid.uuid4()), "page view", now, "v", "1", properties) for _ in range(count)]


def sink(path, **options):
    return sinks.build("file", {"path": str(path), **options})


def lines(folder):
    """All events in the files of a folder; fails on a line that is no JSON."""
    files = [file for file in folder.iterdir() if not file.name.endswith(".lock")]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def ids(events):
    return sorted(each["event_id"] for each in events)


def test_an_event_is_a_line_that_any_tool_reads(tmp_path):
    sent = batch(2, title="Ärzte\nund Wege")

    receipt = sink(tmp_path / "new" / "events.jsonl").send(sent)

    assert receipt.delivered == {each.event_id for each in sent}
    first = lines(tmp_path / "new")[0]
    assert first["event"] == "page view"
    assert first["properties"] == {"title": "Ärzte\nund Wege"}
    assert first["time"].endswith("Z")


def test_files_are_rotated_by_size_and_the_oldest_go(tmp_path):
    target = sink(tmp_path / "events.jsonl", max_bytes=3_000, keep=3)

    batches = [batch(10) for _ in range(8)]
    for each in batches:
        target.send(each)

    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [
        "events.jsonl",
        "events.jsonl.1",
        "events.jsonl.2",
        "events.jsonl.3",
        "events.jsonl.lock",
    ]
    assert ids(lines(tmp_path)) == sorted(each.event_id for group in batches[-4:] for each in group)


def test_a_half_line_that_a_kill_left_is_cut_off(tmp_path):
    path = tmp_path / "events.jsonl"
    sink(path).send(first := batch(1))
    with path.open("a") as file:
        file.write('{"time":"2026-11-23T12:00:00Z","event":"page v' + "x" * 100_000)

    sink(path).send(second := batch(1))

    assert ids(lines(tmp_path)) == sorted(each.event_id for each in first + second)


def test_a_file_of_half_a_line_only_is_begun_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"time"')

    sink(path).send(sent := batch(1))

    assert ids(lines(tmp_path)) == [sent[0].event_id]


def test_a_disk_that_takes_nothing_pauses_the_sink(tmp_path):
    (tmp_path / "file").touch()

    receipt = sink(tmp_path / "file" / "events.jsonl").send(batch(1))

    assert receipt.pause_s == 0.0
    assert receipt.delivered == frozenset()
    assert "cannot be written" in receipt.error


def test_the_events_of_a_full_disk_are_not_half_there(tmp_path):
    resource = pytest.importorskip("resource")

    def write(path):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
        target = sink(path)
        raise SystemExit(sum(target.send(batch(10)).healthy for _ in range(5)))

    process = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path / "events.jsonl",))
    process.start()
    process.join()

    taken = process.exitcode
    assert 0 < taken < 5
    assert len(lines(tmp_path)) == 10 * taken


def test_several_processes_write_whole_lines_and_lose_none(tmp_path):
    def write(path, count):
        target = sink(path, max_bytes=20_000, keep=100)
        for _ in range(count):
            target.send(batch(5))

    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(tmp_path / "events.jsonl", 40)) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()

    assert len(set(ids(lines(tmp_path)))) == 4 * 40 * 5


def test_a_path_is_needed():
    with pytest.raises(sinks.SinkError, match="path"):
        sinks.build("file", {})
