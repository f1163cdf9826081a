"""The fake services keep the rules that their originals document; else tests against them prove nothing."""

from __future__ import annotations

import base64
import gzip
import json
import time

import pytest

from devstack.fakes import ga4, mixpanel
from devstack.fakes.service import Request


def imported(events, *, token=mixpanel.TOKEN, body=None, service=None):
    credentials = base64.b64encode(f"{token}:".encode()).decode()
    headers = {"authorization": f"Basic {credentials}", "content-encoding": "gzip"}
    sent = gzip.compress(body if body is not None else json.dumps(events).encode())
    answer = (service or mixpanel.Mixpanel()).respond(Request("/import", {"strict": "1"}, headers, sent))
    return answer.status, json.loads(answer.body)


def event(**changes):
    properties = {"time": int(time.time()), "distinct_id": "v", "$insert_id": "a-1", **changes}
    return {"event": "page view", "properties": properties}


def test_mixpanel_says_how_many_it_has_imported():
    assert imported([event(), event()]) == (200, {"code": 200, "num_records_imported": 2, "status": "OK"})


def test_mixpanel_shows_once_what_has_the_same_event_time_visitor_and_id():
    service = mixpanel.Mixpanel()
    for sent in (event(time=1_700_000_000), event(time=1_700_000_000), event(time=1_700_000_001)):
        imported([sent], service=service)

    assert service.stats() == {"events": {"page view": 2}, "unique": 2, "duplicates": 1, "requests": 0}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (event(time="noon"), "properties.time"),
        (event(time=int(time.time()) + 7200), "properties.time"),
        (event(time=3), "properties.time"),
        (event(distinct_id="anonymous"), "properties.distinct_id"),
        (event(**{"$insert_id": "x" * 37}), "properties.$insert_id"),
        (event(**{"$insert_id": "under_score"}), "properties.$insert_id"),
        (event(deep={"a": {"b": {"c": {}}}}), "properties.deep"),
        ({"event": "", "properties": event()["properties"]}, "event"),
    ],
)
def test_mixpanel_names_the_event_and_the_field_that_is_wrong(wrong, field):
    status, said = imported([event(), wrong])

    assert (status, said["num_records_imported"]) == (400, 1)
    assert [(record["index"], record["field"]) for record in said["failed_records"]] == [(1, field)]


def test_mixpanel_measures_a_request_before_its_compression():
    assert imported([event(text="x" * 2_200_000)])[0] == 413
    assert imported([event()] * 2_001)[0] == 413


def test_mixpanel_wants_its_token_and_json():
    assert imported([event()], token="other")[0] == 401
    assert imported([], body=b"{not json")[0] == 400


def test_mixpanels_old_way_drops_old_events_and_says_all_is_well():
    service = mixpanel.Mixpanel()
    sent = json.dumps(event(time=time.time() - 6 * 86_400))

    answer = service.respond(Request("/track", {}, {}, f"data={sent}".encode()))

    assert json.loads(answer.body)["status"] == 1
    assert service.stats()["unique"] == 0


KEYS = {"measurement_id": "G-1", "api_secret": ga4.API_SECRET}


def collected(path="/mp/collect", *, query=KEYS, **said):
    service = ga4.Ga4()
    body = {"client_id": "c", "events": [{"name": "page_view", "params": {}}], **said}
    return service, service.respond(Request(path, query, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"client_id": ""}, "VALUE_REQUIRED"),
        ({"events": []}, "EXCEEDED_MAX_ENTITIES"),
        ({"events": [{"name": "x"}] * 26}, "EXCEEDED_MAX_ENTITIES"),
        ({"events": [{"name": "_x"}]}, "NAME_INVALID"),
        ({"events": [{"name": "session_start"}]}, "NAME_RESERVED"),
        ({"events": [{"name": "x", "params": {"a b": 1}}]}, "NAME_INVALID"),
        ({"events": [{"name": "x", "params": {"a": "x" * 101}}]}, "VALUE_INVALID"),
        ({"events": [{"name": "x", "params": {f"p{n}": n for n in range(26)}}]}, "EXCEEDED_MAX_ENTITIES"),
    ],
)
def test_ga4_complains_to_who_asks_its_validator_and_to_nobody_else(said, code):
    _, judged = collected("/debug/mp/collect", **said)
    service, answer = collected(**said)

    assert [each["validationCode"] for each in json.loads(judged.body)["validationMessages"]] == [code]
    assert (answer.status, answer.body, service.stats()["unique"]) == (204, b"", 0)


def test_ga4_keeps_silent_about_a_wrong_secret():
    service, answer = collected(query={**KEYS, "api_secret": "other"})

    assert (answer.status, service.stats()["unique"]) == (204, 0)


def test_ga4_shows_an_event_as_often_as_it_comes():
    service = ga4.Ga4()
    body = {"client_id": "c", "events": [{"name": "page_view", "params": {"event_id": "1"}}]}
    for _ in range(3):
        service.respond(Request("/mp/collect", KEYS, {}, json.dumps(body).encode()))

    assert service.stats() == {"events": {"page view": 3}, "unique": 1, "duplicates": 2, "requests": 0}
