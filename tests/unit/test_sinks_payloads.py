"""What the sinks send, and what they refuse to: pure, no server."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from ckanext.hdxjobs.analytics import sinks
from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.sinks import ga4, ga4_names, mixpanel, webhook

WHEN = datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=timezone.utc)
ID = "0b8f4a52-7d0e-4c2b-9a51-3a3f1f0e7c11"


def envelope(**changes):
    fields = {
        "event_id": ID,
        "name": "resource download",
        "occurred_at": WHEN,
        "visitor_id": "a1b2c3",
        "session_id": "1764000000",
        "properties": {"resource name": "roads.geojson", "group names": ["Chad", "Mali"], "is cod": True},
    }
    return Envelope(**{**fields, **changes})


def with_properties(**properties):
    return envelope(properties=properties)


# -- Mixpanel -----------------------------------------------------------------


def test_mixpanel_knows_a_duplicate_by_what_never_changes_between_attempts():
    first, second = mixpanel.payload(envelope()), mixpanel.payload(envelope())

    assert first == second
    assert first["properties"]["$insert_id"] == ID
    assert first["properties"]["time"] == 1_795_437_015_250


@pytest.mark.parametrize("visitor", ["", "anonymous", "NULL", "0", "00000000-0000-0000-0000-000000000000"])
def test_mixpanel_gets_the_empty_id_instead_of_one_that_it_rejects(visitor):
    assert mixpanel.payload(envelope(visitor_id=visitor))["properties"]["distinct_id"] == ""


def test_a_property_cannot_take_the_place_of_mixpanels_own():
    sent = mixpanel.payload(with_properties(time="noon", distinct_id="me", token="x"))

    assert sent["properties"] == {"time": 1_795_437_015_250, "distinct_id": "a1b2c3", "$insert_id": ID}


def nested(levels):
    return {"a": nested(levels - 1)} if levels else 1


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (envelope(event_id="x" * 37), "insert_id"),
        (envelope(event_id="not_allowed"), "insert_id"),
        (envelope(event_id="none"), "insert_id"),
        (envelope(name=""), "no name"),
        (envelope(occurred_at=datetime(1970, 5, 1, tzinfo=timezone.utc)), "before 1971"),
        (with_properties(**{f"p{number}": 1 for number in range(251)}), "more than 250 properties"),
        (with_properties(deep=nested(4)), "nested deeper"),
        (with_properties(long=list(range(255))), "more than 254 elements"),
        (with_properties(large="x" * 1_000_001), "larger than 1 MB"),
    ],
)
def test_mixpanel_refuses_what_the_service_would(event, reason):
    assert reason in sinks.build("mixpanel", {"token": "t"}).refusal(event)


@pytest.mark.parametrize(
    "event",
    [
        envelope(),
        with_properties(**{f"p{number}": 1 for number in range(250)}),
        with_properties(deep=nested(3), long=list(range(254))),
        envelope(visitor_id=""),
    ],
)
def test_mixpanel_sends_what_is_just_within_the_limits(event):
    assert sinks.build("mixpanel", {"token": "t"}).refusal(event) is None


def test_a_title_that_is_no_text_does_not_cost_the_batch():
    (part,) = [mixpanel._part(with_properties(title="broken \ud800 half"))]

    assert json.loads(part.body)["properties"]["title"] == "broken ? half"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "token"),
        ({"username": "robot"}, "password, project_id"),
        ({"token": "t", "region": "mars"}, "region must be one of: us, eu, in"),
    ],
)
def test_mixpanel_says_which_option_does_not_serve(options, missing):
    with pytest.raises(sinks.SinkError, match=missing):
        sinks.build("mixpanel", options)


@pytest.mark.parametrize(("region", "host"), sorted(mixpanel.HOSTS.items()))
def test_mixpanel_sends_to_the_region_of_the_project(region, host):
    assert sinks.build("mixpanel", {"token": "t", "region": region})._client._url == f"{host}/import?strict=1"


# -- GA4 ------------------------------------------------------------------------

NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,39}")


def test_ga4_gets_name_time_and_session():
    sent = ga4.event(envelope())

    assert (sent["name"], sent["timestamp_micros"]) == ("resource_download", 1_795_437_015_250_000)
    assert sent["params"] == {
        "event_id": ID,
        "session_id": "1764000000",
        "engagement_time_msec": 1,
        "resource_name": "roads.geojson",
        "group_names": "Chad,Mali",
        "is_cod": "true",
    }


def test_without_a_session_ga4_is_told_of_none():
    assert set(ga4.event(envelope(session_id="", properties={}))["params"]) == {"event_id"}


@pytest.mark.parametrize(
    ("property_name", "parameter"),
    [
        ("$current_url", "page_location"),
        ("page title", "page_title"),
        ("org name", "org_name"),
        ("user id", "p_user_id"),
        ("session id", "p_session_id"),
        ("7 days", "p_7_days"),
        ("ga id", "p_ga_id"),
        ("firebase thing", "p_firebase_thing"),
        ("_hidden", "hidden"),
        ("日本", "p_"),
        ("x" * 50, "x" * 40),
    ],
)
def test_a_propertys_name_is_made_one_that_ga4_takes(property_name, parameter):
    made = ga4_names.parameter_name(property_name)

    assert made == parameter
    assert NAME.fullmatch(made)


def test_of_too_many_properties_ga4_gets_the_first():
    sent = ga4.event(with_properties(**{f"p{number}": number for number in range(40)}))["params"]

    assert len(sent) == 25
    assert sent["p21"] == 21
    assert "p22" not in sent


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None), ("", None), ([], None), ({}, None),
        (0, 0), (1.5, 1.5), (False, "false"),
        ("é" * 120, "é" * 100),
        (["a", 1], "a,1"),
        ({"a": [1]}, '{"a":[1]}'),
    ],
)  # fmt: skip
def test_a_value_is_made_one_that_ga4_takes(value, sent):
    assert ga4_names.parameter_value(value, 100) == sent


def test_an_address_may_be_longer_than_other_values():
    sent = ga4.event(
        with_properties(**{"$current_url": "u" * 2000, "referer url": "r" * 2000, "x": "x" * 2000})
    )

    lengths = {key: len(value) for key, value in sent["params"].items() if len(str(value)) > 50}
    assert lengths == {"page_location": 1000, "page_referrer": 420, "x": 100}


@pytest.mark.parametrize(
    "name", ["session start", "first visit", "error", "file download", "GA thing", "1st"]
)
def test_a_name_that_ga4_keeps_for_itself_is_refused(name):
    assert ga4_names.problem(envelope(name=name)) is not None


@pytest.mark.parametrize("name", ["resource download", "page view", "search", "share", "first login"])
def test_our_names_are_none_that_ga4_keeps_for_itself(name):
    assert ga4_names.problem(envelope(name=name)) is None


@pytest.mark.parametrize(("age_h", "refused"), [(71, False), (73, True)])
def test_events_older_than_72_hours_are_refused_by_ga4(age_h, refused):
    settings = ga4.Settings("G-1", "s")
    sink = ga4.Ga4Sink(settings, now=lambda: WHEN + timedelta(hours=age_h))

    assert (sink.refusal(envelope()) is not None) is refused


def test_a_site_may_prefer_late_events_to_none():
    sink = ga4.Ga4Sink(ga4.Settings("G-1", "s", late="send_late"), now=lambda: WHEN + timedelta(days=9))

    assert sink.refusal(envelope()) is None


def test_a_request_holds_events_of_one_client_and_at_most_25():
    visitors = ["a"] * 60 + ["b"] * 3
    batch = [envelope(event_id=f"e{number}", visitor_id=visitor) for number, visitor in enumerate(visitors)]

    requests = list(ga4.requests_of(batch))

    assert [(each.client_id, len(each.parts)) for each in requests] == [
        ("a", 25),
        ("a", 25),
        ("a", 10),
        ("b", 3),
    ]


def test_a_request_is_smaller_than_130_kb():
    texts = {f"p{number}": "日" * 100 for number in range(25)} | {"$current_url": "日" * 1000}
    requests = list(ga4.requests_of([with_properties(**texts) for _ in range(25)]))

    assert len(requests) == 2
    assert max(len(each.body()) for each in requests) < 130_000


def test_events_without_a_visitor_are_the_sites_own():
    (request,) = ga4.requests_of([envelope(visitor_id="")])

    assert json.loads(request.body())["client_id"] == ga4.NOBODY


def test_ga4_is_told_that_nothing_is_for_advertising():
    (request,) = ga4.requests_of([envelope()])

    assert json.loads(request.body())["consent"] == {"ad_user_data": "DENIED", "ad_personalization": "DENIED"}


@pytest.mark.parametrize("options", [{}, {"measurement_id": "G-1"}, {"api_secret": "s"}])
def test_ga4_needs_both_its_keys(options):
    with pytest.raises(sinks.SinkError, match="not set"):
        sinks.build("ga4", options)


# -- webhook --------------------------------------------------------------------


def test_a_cloud_event_has_all_that_the_specification_requires():
    assert webhook.cloud_event(envelope(), source="https://data.example.org") == {
        "specversion": "1.0",
        "id": ID,
        "source": "https://data.example.org",
        "type": "ckanext.hdxjobs.resource-download",
        "time": "2026-11-23T12:30:15.250000Z",
        "datacontenttype": "application/json",
        "data": {
            "name": "resource download",
            "visitor_id": "a1b2c3",
            "session_id": "1764000000",
            "properties": {"resource name": "roads.geojson", "group names": ["Chad", "Mali"], "is cod": True},
        },
    }


def test_the_signature_is_that_of_the_specifications_example():
    key = webhook.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhook.signature(
        key, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
    )

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_in_plain_text_is_its_own_key():
    assert webhook.key_of("a plain secret") == b"a plain secret"


@pytest.mark.parametrize(
    "options", [{}, {"url": "ftp://x"}, {"url": "https://x", "secret": "whsec_no base64"}]
)
def test_a_webhook_without_a_good_address_and_secret_is_not_made(options):
    with pytest.raises(sinks.SinkError):
        sinks.build("webhook", options)


# -- all --------------------------------------------------------------------------


def test_an_unknown_sink_is_named_beside_those_there_are():
    with pytest.raises(sinks.SinkError, match="'posthog'; there are: file, ga4, mixpanel, webhook"):
        sinks.build("posthog", {})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mixpanel", {"token": "hidden-1", "password": "hidden-2"}),
        ("ga4", {"measurement_id": "G-1", "api_secret": "hidden-1"}),
        ("webhook", {"url": "https://hidden-1", "secret": "hidden-2"}),
    ],
)
def test_settings_do_not_show_their_secrets(name, options):
    kind = {"mixpanel": mixpanel, "ga4": ga4, "webhook": webhook}[name].Settings

    assert "hidden" not in repr(sinks.settings(kind, options))


def test_receipts_are_put_together():
    parts = [
        sinks.Receipt(delivered=frozenset({"a"}), refused={"b": "bad"}),
        sinks.Receipt(delivered=frozenset({"c"}), pause_s=3.0, error="HTTP 429"),
        sinks.Receipt(pause_s=9.0, alarm="wrong token", error="HTTP 401"),
    ]

    assert sinks.merged(parts) == sinks.Receipt(
        frozenset({"a", "c"}), {"b": "bad"}, pause_s=9.0, alarm="wrong token", error="HTTP 429"
    )


def test_the_sink_for_tests_fails_when_told_and_remembers():
    sink = sinks.MemorySink()
    sink.faults.append(sinks.Receipt(pause_s=0.0))

    first, second = sink.send([envelope()]), sink.send([envelope()])

    assert (first.delivered, second.delivered) == (frozenset(), {ID})
    assert [len(sink.sent), len(sink.received)] == [2, 1]
