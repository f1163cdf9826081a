"""The sinks against a real server that behaves as the services' documentation says."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from ckanext.hdxjobs.analytics import sinks
from ckanext.hdxjobs.analytics.events import Envelope
from devstack.fakes import client

SERVICES = ("mixpanel", "ga4", "webhook")
#: For answers that come: more than a busy machine takes for them.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server():
    with client.running() as fake:
        yield fake


@pytest.fixture
def fake(server):
    server.reset()
    return server


@pytest.fixture
def make(fake):
    """Makes a sink that sends to the fake; closed at the end of the test."""
    made = []

    def build(name, **more):
        made.append(sinks.build(name, {**client.options(fake.url)[name], "timeout_s": PATIENCE_S, **more}))
        return made[-1]

    yield build
    for sink in made:
        sink.close()


def envelope(name="resource download", *, visitor="a1b2", age=timedelta(0), **properties):
    return Envelope(
        event_id=str(uuid.uuid4()),
        name=name,
        occurred_at=datetime.now(timezone.utc) - age,
        visitor_id=visitor,
        session_id="1764000000",
        properties=properties or {"resource name": "roads.geojson", "authenticated": False},
    )


def batch(count, **more):
    return [envelope(**more) for _ in range(count)]


def ids(envelopes):
    return {each.event_id for each in envelopes}


@pytest.mark.parametrize("name", SERVICES)
def test_a_batch_arrives_whole_and_is_receipted(make, fake, name):
    sent = batch(60)

    receipt = make(name).send(sent)

    assert receipt == sinks.Receipt(delivered=frozenset(ids(sent)))
    assert fake.stats(name)["events"] == {"resource download": 60}
    assert set(fake.ids(name)) == ids(sent)


@pytest.mark.parametrize("name", SERVICES)
def test_a_batch_sent_again_is_known_as_the_same_events(make, fake, name):
    sent, sink = batch(30), make(name)

    sink.send(sent)
    sink.send(sent)

    assert fake.stats(name)["unique"] == 30
    assert fake.stats(name)["duplicates"] == 30


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("mode", ["429", "503"])
def test_a_busy_service_pauses_the_sink_for_as_long_as_it_asks(make, fake, name, mode):
    fake.fault(name, mode, retry_after_s=7)

    receipt = make(name).send(batch(3))

    assert (receipt.delivered, dict(receipt.refused), receipt.alarm) == (frozenset(), {}, None)
    assert receipt.pause_s == 7
    assert receipt.error == f"HTTP {mode}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_date_to_retry_after_is_understood(make, fake, name):
    fake.fault(name, "503", retry_after_s=60, as_date=True)

    assert make(name).send(batch(1)).pause_s == 60


@pytest.mark.parametrize("name", SERVICES)
def test_without_a_date_to_retry_after_the_backoff_decides(make, fake, name):
    fake.fault(name, "503", retry_after_s=-1)

    assert make(name).send(batch(1)).pause_s == 0.0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_hangs_is_given_up_after_the_timeout(make, fake, name):
    fake.fault(name, "hang")

    receipt = make(name, timeout_s=0.5).send(batch(3))

    assert receipt == sinks.Receipt(pause_s=0.0, error="no answer within 0.5 s")


def test_an_answer_that_drips_in_is_given_up_too(make, fake):
    fake.fault("mixpanel", "slow", seconds=4)

    assert make("mixpanel", timeout_s=0.6).send(batch(1)).error == "no answer within 0.6 s"


@pytest.mark.parametrize("name", SERVICES)
def test_a_slow_answer_within_the_timeout_is_a_delivery(make, fake, name):
    sent = batch(3, visitor="one")
    fake.fault(name, "slow", seconds=0.3)

    assert make(name).send(sent).delivered == ids(sent)


@pytest.mark.parametrize("name", SERVICES)
def test_a_connection_that_is_reset_pauses_the_sink(make, fake, name):
    fake.fault(name, "reset")

    assert make(name).send(batch(3)) == sinks.Receipt(pause_s=0.0, error="the connection broke")


@pytest.mark.parametrize("name", SERVICES)
def test_the_sink_works_again_after_a_reset(make, fake, name):
    sink, sent = make(name), batch(3, visitor="one")
    fake.fault(name, "reset", times=1)
    sink.send(sent)

    assert sink.send(sent).delivered == ids(sent)


@pytest.mark.parametrize("name", ["mixpanel", "ga4"])
def test_a_foreign_page_with_status_200_is_not_a_delivery(make, fake, name):
    fake.fault(name, "garbage")

    receipt = make(name).send(batch(3))

    assert receipt.delivered == frozenset()
    assert receipt.pause_s == 0.0


@pytest.mark.parametrize("name", SERVICES)
def test_wrong_credentials_alarm_and_refuse_nothing(make, fake, name):
    fake.fault(name, "401")

    receipt = make(name).send(batch(3))

    assert receipt.alarm == "the service does not accept the credentials (HTTP 401)"
    assert (receipt.delivered, dict(receipt.refused)) == (frozenset(), {})


def test_a_wrong_token_alarms(make):
    assert make("mixpanel", token="somebody-else's").send(batch(1)).alarm is not None


def test_a_wrong_signing_secret_alarms(make):
    assert make("webhook", secret="somebody else's").send(batch(1)).alarm is not None


def test_a_service_account_names_its_project(make):
    sent = batch(1)
    sink = make("mixpanel", token="", username="robot", password="key", project_id="12")

    assert sink.send(sent).delivered == ids(sent)


def test_a_wrong_path_alarms(make, fake):
    assert make("webhook", url=f"{fake.url}/nowhere").send(batch(1)).alarm is not None


def test_a_host_that_nobody_serves_pauses(make):
    receipt = make("mixpanel", url="http://127.0.0.1:9").send(batch(1))

    assert receipt == sinks.Receipt(pause_s=0.0, error="connection refused")


def test_a_host_without_an_address_pauses(make):
    receipt = make("mixpanel", url="http://nowhere.invalid").send(batch(1))

    assert receipt == sinks.Receipt(pause_s=0.0, error="the host's name cannot be resolved")


@pytest.mark.parametrize("name", ["mixpanel", "webhook"])
def test_a_request_called_too_large_is_sent_in_halves(make, fake, name):
    sent = batch(200)
    fake.fault(name, "413", max_bytes=20_000)

    receipt = make(name).send(sent)

    assert receipt == sinks.Receipt(delivered=frozenset(ids(sent)))
    assert fake.stats(name)["duplicates"] == 0


def test_only_the_one_event_that_is_too_large_is_refused(make, fake):
    large = envelope(text="x" * 50_000)
    sent = [*batch(7), large, *batch(8)]
    fake.fault("mixpanel", "413", max_bytes=40_000)

    receipt = make("mixpanel").send(sent)

    assert receipt.delivered == ids(sent) - {large.event_id}
    assert dict(receipt.refused) == {large.event_id: "larger than the service takes (HTTP 413)"}


def test_a_service_that_calls_everything_too_large_alarms_and_refuses_nothing(make, fake):
    fake.fault("mixpanel", "413", max_bytes=10)

    receipt = make("mixpanel").send(batch(64))

    assert receipt.alarm == "the service calls even a small event too large (HTTP 413)"
    assert (receipt.delivered, dict(receipt.refused)) == (frozenset(), {})


def test_a_partial_success_refuses_what_is_named_and_delivers_the_rest(make, fake):
    sent = batch(10)
    fake.fault("mixpanel", "partial", every=4)

    receipt = make("mixpanel").send(sent)

    named = {sent[index].event_id for index in (0, 4, 8)}
    assert set(receipt.refused) == named
    assert receipt.delivered == ids(sent) - named
    assert receipt.healthy
    assert "refused because the fake was told to" in receipt.refused[sent[0].event_id]


def test_an_event_of_the_future_is_refused_by_mixpanel_alone(make):
    good, future = envelope(), envelope(age=timedelta(hours=-2))

    receipt = make("mixpanel").send([good, future])

    assert receipt.delivered == {good.event_id}
    assert set(receipt.refused) == {future.event_id}


def test_a_batch_above_the_limit_in_bytes_goes_out_in_several_requests(make, fake):
    sent = [envelope(text="x" * 20_000) for _ in range(150)]

    assert make("mixpanel").send(sent).delivered == ids(sent)
    assert fake.stats("mixpanel")["requests"] == 3


def test_a_week_of_outage_reaches_mixpanel_all_the_same(make, fake):
    sent = batch(5, age=timedelta(days=8))

    assert make("mixpanel").send(sent).delivered == ids(sent)
    assert fake.stats("mixpanel")["unique"] == 5


def test_ga4_gets_a_request_for_each_visitor_and_25_events(make, fake):
    sent = [*batch(60, visitor="one"), *batch(5, visitor="two"), *batch(3, visitor="")]

    make("ga4").send(sent)

    assert fake.stats("ga4")["requests"] == 3 + 1 + 1
    assert fake.dropped("ga4") == {}


def test_ga4_takes_events_with_more_of_everything_than_it_allows(make, fake):
    many = {f"{'long name ' * 5}{number}": "word " * 50 for number in range(40)}
    sent = [envelope(**many, **{"ga_x": "1", "user id": "2", "7 days": 3, "tags": ["a", "b"], "cod": True})]

    make("ga4").send(sent)

    assert fake.dropped("ga4") == {}
    assert fake.stats("ga4")["unique"] == 1


def test_ga4_stops_at_the_first_setback_and_tells_what_arrived(make, fake):
    sent = [envelope(visitor=f"visitor {number}") for number in range(150)]
    sink = make("ga4", connections=2)
    sink.send(sent[:50])
    fake.fault("ga4", "429", retry_after_s=3)

    receipt = sink.send(sent[50:])

    assert receipt.delivered == frozenset()
    assert receipt.pause_s == 3
    assert fake.stats("ga4")["requests"] < 60


def test_ga4s_validator_finds_nothing_wrong_with_our_sample(make):
    assert make("ga4").check() == []


def test_ga4s_validator_that_cannot_be_reached_is_a_complaint(make):
    assert make("ga4", url="http://127.0.0.1:9").check() == ["connection refused"]


def test_connections_are_kept_open(make, fake, caplog):
    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    sink = make("mixpanel")

    for _ in range(5):
        sink.send(batch(2))

    assert sum("Starting new HTTP" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("mode", ["ok", "429", "401", "hang", "reset", "garbage"])
def test_no_secret_is_told_whatever_happens(make, fake, caplog, mode):
    caplog.set_level(logging.DEBUG)
    told = ""
    for name in SERVICES:
        fake.fault(name, mode)
        sink = make(name, timeout_s=0.3)
        told += repr(sink.send(batch(2)))
    told += "\n".join(record.getMessage() for record in caplog.records)

    secrets = [
        options.get(key)
        for options in client.options("").values()
        for key in ("token", "api_secret", "secret")
    ]
    assert [secret for secret in secrets if secret and secret in told] == []


def test_what_a_third_party_registered_is_found(monkeypatch, fake):
    class Entry:
        name = "warehouse"

        @staticmethod
        def load():
            return lambda options: sinks.MemorySink("warehouse", max_events=options["size"])

    monkeypatch.setattr(
        sinks.metadata, "entry_points", lambda *, group: [Entry] if group == sinks.GROUP else []
    )

    assert sinks.build("warehouse", {"size": 5}).max_events == 5
    assert "warehouse" in sinks.names()


def test_mixpanel_gets_properties_as_they_are(make, fake):
    sent = envelope(**{"org name": "Ärzte", "group names": ["Chad", "Mali"], "is cod": False, "count": 3})

    make("mixpanel").send([sent])

    (arrived,) = fake.received("mixpanel")
    assert arrived["event"] == "resource download"
    assert json.loads(json.dumps(sent.properties)).items() <= arrived["properties"].items()
