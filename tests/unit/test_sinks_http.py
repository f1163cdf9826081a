"""How answers are read, and how a batch is cut into requests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ckanext.hdxjobs.analytics.sinks import Receipt
from ckanext.hdxjobs.analytics.sinks.http import Answer, retry_after_s, setback
from ckanext.hdxjobs.analytics.sinks.parts import SMALL_BYTES, Batch, Part, json_array, packed

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def date(**later):
    return format_datetime(NOON + timedelta(**later), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "864000"}, 3600),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": date(seconds=90), "Date": date()}, 90),
        ({"Retry-After": date(days=2), "Date": date()}, 3600),
        ({"Retry-After": date(hours=-1), "Date": date()}, 0),
    ],
)
def test_what_a_service_asks_to_wait_is_read(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_a_date_without_the_services_clock_is_compared_with_ours():
    later = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=600)
    told = format_datetime(later, usegmt=True)

    most = (later - datetime.now(timezone.utc)).total_seconds()
    asked = retry_after_s({"Retry-After": told})
    least = (later - datetime.now(timezone.utc)).total_seconds()
    assert least <= asked <= most


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_what_may_pass_pauses_without_an_alarm(status):
    assert setback(Answer(status)) == Receipt(pause_s=0.0, error=f"HTTP {status}")


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 410, 415, 422])
def test_what_an_operator_must_mend_alarms_and_refuses_nothing(status):
    receipt = setback(Answer(status))

    assert receipt.alarm
    assert (receipt.pause_s, dict(receipt.refused), receipt.delivered) == (0.0, {}, frozenset())


def parts_of(*sizes):
    return [Part(f"e{number}", b"x" * size) for number, size in enumerate(sizes)]


def ids(groups):
    return [[part.event_id for part in group] for group in groups]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([10, 10, 10], [["e0", "e1", "e2"]]),
        ([1, 1, 1, 1], [["e0", "e1", "e2"], ["e3"]]),
        ([60, 60], [["e0"], ["e1"]]),
        ([10, 500, 10], [["e0"], ["e1"], ["e2"]]),
        ([49, 49], [["e0", "e1"]]),
        ([49, 50], [["e0"], ["e1"]]),
    ],
)
def test_parts_are_packed_within_both_limits(sizes, groups):
    assert ids(packed(parts_of(*sizes), max_parts=3, max_bytes=100)) == groups


def test_a_packed_group_is_no_longer_as_json_than_allowed():
    (group,) = packed(parts_of(*[30] * 3), max_parts=9, max_bytes=93)

    assert len(json_array(group)) <= 93 + 1


class Service:
    """Takes so many bytes, and remembers what it was asked."""

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self.asked = []

    def post(self, parts):
        self.asked.append(len(parts))
        return Answer(413 if len(json_array(parts)) > self.max_bytes else 200)


def taken(parts, answer):
    assert answer.ok
    return Receipt(delivered=frozenset(part.event_id for part in parts))


def test_halving_stops_where_the_service_is_content():
    service = Service(max_bytes=250)

    receipt = Batch(service.post, taken).send([parts_of(*[100] * 8)])

    assert len(receipt.delivered) == 8
    assert service.asked == [8, 4, 2, 2, 4, 2, 2]


def test_a_large_event_alone_too_large_is_refused():
    receipt = Batch(Service(max_bytes=100).post, taken).send([parts_of(SMALL_BYTES, 10)])

    assert (set(receipt.refused), receipt.delivered) == ({"e0"}, {"e1"})


def test_a_small_event_called_too_large_is_not_to_blame():
    receipt = Batch(Service(max_bytes=1).post, taken).send([parts_of(*[100] * 64)])

    assert receipt.alarm
    assert not receipt.refused


def test_after_a_setback_no_further_group_is_sent():
    service = Service(max_bytes=100)
    receipt = Batch(service.post, lambda _parts, _answer: Receipt(pause_s=1.0)).send(
        [parts_of(1), parts_of(2)]
    )

    assert (service.asked, receipt) == ([1], Receipt(pause_s=1.0))


def test_no_request_is_begun_when_the_time_is_up():
    service = Service(max_bytes=100)

    assert Batch(service.post, taken, until=0.0).send([parts_of(1)]) == Receipt()
    assert service.asked == []
