"""Parts of the way in that need no service: filters, beacons' form, the spool, the chart, the pauses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ckanext.hdxjobs.analytics import beacon, capture, health, report, spool
from ckanext.hdxjobs.analytics.events import MalformedError
from ckanext.hdxjobs.analytics.health import DayCount
from ckanext.hdxjobs.analytics.outbox import Parcel, dumped, loaded

CAP = 1_000_000


def parcel(number: int = 0) -> Parcel:
    event_id = f"00000000-0000-4000-8000-{number:012d}"
    return Parcel(event_id, "page view", "v", "1", {"page title": "Ümläut\n"}, ("file", "ga4"))


@pytest.mark.parametrize(
    ("patterns", "name", "wanted"),
    [
        (["*"], "resource download", True),
        (["resource_download"], "resource download", True),
        (["resource_download"], "dataset create", False),
        (["dataset_*", "!*_delete"], "dataset delete", False),
        (["dataset_*", "!*_delete"], "dataset create", True),
        (["!robot_api_call"], "robot api call", False),
        (["!robot_api_call"], "page view", True),
        (["!*", "page_view"], "page view", True),
        ([], "page view", True),
    ],
)
def test_a_sinks_filter_decides_by_the_last_pattern_that_fits(
    patterns: list[str], name: str, wanted: bool
) -> None:
    assert capture.wants(patterns, name) is wanted


def test_a_parcel_survives_the_way_by_text() -> None:
    assert loaded(dumped([parcel()])) == [parcel()]


def test_a_stamped_parcel_keeps_the_moment_it_happened() -> None:
    late = Parcel(**{**vars(parcel()), "age_s": 60.0})

    assert late.stamped(1_800_000_060.0).occurred_at == "2027-01-15T08:00:00+00:00"


def body(*events: Any, **page: Any) -> bytes:
    return json.dumps({"page": {"url": "http://x.org/", "referrer": "", **page}, "events": events}).encode()


def test_a_beacon_is_a_page_and_its_events() -> None:
    _, events = beacon.parsed(body({"name": "page view", "properties": {"dataset id": "d"}}))

    assert [event.properties() for event in events] == [{"dataset id": "d"}]


@pytest.mark.parametrize(
    "report_",
    [
        b"not json",
        b"[" * 16_000,
        b"\xff",
        b"[]",
        b"{}",
        b'{"page": {}, "events": []}',
        b'{"page": {}, "events": {}}',
        b'{"page": [], "events": [{"name": "page view"}]}',
        b'{"page": {"url": 1}, "events": [{"name": "page view"}]}',
        b'{"page": {}, "events": [{"name": "page view"}], "more": 1}',
        b'{"page": {}, "events": ["page view"]}',
        b'{"page": {}, "events": [{"name": ["page view"]}]}',
        b'{"page": {}, "events": [{"name": "page view", "properties": []}]}',
        body(*[{"name": "page view"}] * 21),
        body({"name": "no such event"}),
        body({"name": "dataset create"}),
        body({"name": "page view", "properties": {"authenticated": True}}),
        body({"name": "page view", "properties": {"page title": {"a": 1}}}),
        body({"name": "page view"}, url="x" * 5000),
    ],
    ids=lambda report_: report_[:60].decode(errors="replace"),
)
def test_a_beacon_that_our_script_would_not_send_is_refused(report_: bytes) -> None:
    with pytest.raises(MalformedError):
        beacon.parsed(report_)


@pytest.mark.parametrize("title", ["Wells\x00", "Wells\ud83d"], ids=["zero byte", "half a character"])
def test_what_no_database_can_hold_is_taken_out_of_a_beacon(title: str) -> None:
    told = body({"name": "page view", "properties": {"page title": title}}, url=f"http://x.org/{title}")
    page, events = beacon.parsed(told)

    assert (page["url"], events[0].properties()) == ("http://x.org/Wells", {"page title": "Wells"})


def test_a_visitor_may_report_as_much_as_the_limit_and_no_more() -> None:
    pace = beacon.Pace()

    assert [pace.allows("ann", 4, a_minute=10) for _ in range(4)] == [True, True, False, False]


def test_one_visitors_pace_is_nobody_elses() -> None:
    pace = beacon.Pace()
    pace.allows("ann", 10, a_minute=10)

    assert pace.allows("bob", 10, a_minute=10)


def test_visitors_heard_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beacon, "MAX_VISITORS", 3)
    pace = beacon.Pace()
    for number in range(10):
        pace.allows(str(number), 1, a_minute=10)

    assert len(pace._left) == 3


def test_the_spool_gives_back_what_it_was_given(tmp_path: Path) -> None:
    spool.write(tmp_path, [parcel(1), parcel(2)], max_bytes=CAP)
    spool.write(tmp_path, [parcel(3)], max_bytes=CAP)
    carried: list[Parcel] = []

    assert spool.carry(tmp_path, lambda parcels: carried.extend(parcels) or len(parcels)) == 3
    assert carried == [parcel(1), parcel(2), parcel(3)]


def test_a_carried_file_is_gone(tmp_path: Path) -> None:
    spool.write(tmp_path, [parcel()], max_bytes=CAP)
    spool.carry(tmp_path, len)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_could_not_be_carried_stays(tmp_path: Path) -> None:
    spool.write(tmp_path, [parcel()], max_bytes=CAP)

    def refuse(_: Any) -> int:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        spool.carry(tmp_path, refuse)
    assert spool.carry(tmp_path, len) == 1


def test_an_event_that_the_database_can_never_hold_costs_only_itself(tmp_path: Path) -> None:
    spool.write(tmp_path, [parcel(1), parcel(2), parcel(3)], max_bytes=CAP)
    carried: list[Parcel] = []

    def put(parcels: Sequence[Parcel]) -> int:
        if parcel(2) in parcels:
            raise psycopg2.errors.UntranslatableCharacter
        carried.extend(parcels)
        return len(parcels)

    assert spool.carry(tmp_path, put) == 2
    assert (carried, list(tmp_path.iterdir())) == ([parcel(1), parcel(3)], [])


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    spool.write(tmp_path, [parcel(1)], max_bytes=CAP)
    (file,) = tmp_path.iterdir()
    with file.open("a") as lines:
        lines.write('[{"event_id": "0000')

    assert spool.carry(tmp_path, len) == 1


def test_a_full_spool_says_so(tmp_path: Path) -> None:
    with pytest.raises(spool.SpoolFullError):
        spool.write(tmp_path, [parcel()], max_bytes=10)


def test_each_process_has_a_file_that_only_its_user_may_read(tmp_path: Path) -> None:
    spool.write(tmp_path / "spool", [parcel()], max_bytes=CAP)
    (file,) = (tmp_path / "spool").iterdir()

    assert f"-{os.getpid()}." in file.name
    assert file.stat().st_mode & 0o777 == 0o600


def test_pauses_grow_and_never_pass_ten_minutes() -> None:
    pauses = [[health.backoff_s(failures) for _ in range(50)] for failures in (0, 1, 5, 50)]

    assert all(5 <= pause <= 600 for row in pauses for pause in row)
    assert max(pauses[0]) <= max(pauses[1]) <= max(pauses[2]) <= max(pauses[3])


TODAY = date(2026, 11, 23)


def test_the_chart_stacks_a_days_events() -> None:
    chart = report.chart([DayCount(TODAY, "a", 30), DayCount(TODAY, "b", 10)], today=TODAY)

    assert chart.highest == 40
    assert [(bar.series, bar.y, bar.height) for bar in chart.bars] == [(0, 40.0, 120.0), (1, 0.0, 40.0)]


def test_the_chart_joins_the_rare_kinds() -> None:
    counts = [DayCount(TODAY, f"event {number}", 100 - number) for number in range(9)]

    chart = report.chart(counts, today=TODAY)

    assert len(chart.names) == 7
    assert chart.names[-1] == ""
    assert sum(chart.totals) == sum(count.delivered for count in counts)


def test_the_chart_of_nothing_is_empty() -> None:
    assert report.chart([], today=TODAY).bars == ()
