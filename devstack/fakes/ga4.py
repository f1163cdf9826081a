"""Google Analytics 4: developers.google.com/analytics/devguides/collection/protocol/ga4."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from devstack.fakes.service import Request, Response, Service, answer

MEASUREMENT_ID = "G-FAKE000001"
API_SECRET = "fake-ga4-secret"


class Ga4(Service):
    """POST /mp/collect, which never complains, and POST /debug/mp/collect, which does nothing else."""

    paths = frozenset({"/mp/collect", "/debug/mp/collect"})
    deduplicates = False
    _reserved_events = frozenset(
        "ad_activeview ad_click ad_exposure ad_query ad_reward adunit_exposure app_background "  # noqa: SIM905
        "app_clear_data app_exception app_remove app_store_refund app_store_subscription_cancel "
        "app_store_subscription_convert app_store_subscription_renew app_update app_upgrade "
        "dynamic_link_app_open dynamic_link_app_update dynamic_link_first_open error firebase_campaign "
        "first_open first_visit in_app_purchase notification_dismiss notification_foreground "
        "notification_open notification_receive os_update session_start session_start_with_rollout "
        "user_engagement".split()
    )
    _name = re.compile("[A-Za-z][A-Za-z0-9_]{0,39}")
    _longer: ClassVar[dict[str, int]] = {"page_location": 1000, "page_referrer": 420, "page_title": 300}

    def respond(self, request: Request) -> Response:
        messages = list(self.complaints(request))
        if request.path == "/debug/mp/collect":
            keys = ("fieldPath", "description", "validationCode")
            return answer(
                200, {"validationMessages": [dict(zip(keys, each, strict=True)) for each in messages]}
            )
        authorised = request.query.get("api_secret") == API_SECRET
        if messages or not authorised:
            self.dropped[messages[0][1] if messages else "unknown api_secret"] += 1
            return Response(204)
        for event in json.loads(request.body)["events"]:
            key = str(event["params"].get("event_id") or f"none-{len(self.seen)}")
            # Names are listed as the other services get them, so that counts can be compared.
            self.take(key, event["name"].replace("_", " "), event)
        return Response(204)

    def complaints(self, request: Request) -> Iterator[tuple[str, str, str]]:
        """What the validator says: path of the field, text, code."""
        if not request.query.get("measurement_id") or not request.query.get("api_secret"):
            yield "", "measurement_id and api_secret are required", "VALUE_REQUIRED"
        if len(request.body) >= 130_000:
            yield "", "the body is larger than 130 kB", "EXCEEDED_MAX_SIZE"
        try:
            said = json.loads(request.body)
            client_id, events = said["client_id"], said["events"]
        except (ValueError, KeyError, TypeError):
            yield "", "the body needs client_id and events", "VALUE_REQUIRED"
            return
        if not isinstance(client_id, str) or not client_id:
            yield "client_id", "client_id is required", "VALUE_REQUIRED"
        if not isinstance(events, list) or not 1 <= len(events) <= 25:
            yield "events", "between 1 and 25 events are allowed", "EXCEEDED_MAX_ENTITIES"
            return
        for index, event in enumerate(events):
            if isinstance(event, dict) and isinstance(event.get("params", {}), dict):
                yield from self._event_complaints(f"events[{index}]", event)
            else:
                yield f"events[{index}]", "not an event", "VALUE_INVALID"

    def _event_complaints(self, path: str, event: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        name = str(event.get("name", ""))
        if not self._name.fullmatch(name):
            yield f"{path}.name", f"invalid name [{name}]", "NAME_INVALID"
        if name in self._reserved_events or name.startswith(("firebase_", "ga_", "google_")):
            yield f"{path}.name", f"reserved name [{name}]", "NAME_RESERVED"
        params = event.get("params", {})
        if len(params) > 25:
            yield f"{path}.params", "more than 25 parameters", "EXCEEDED_MAX_ENTITIES"
        for key, value in params.items():
            if not self._name.fullmatch(key) or key.startswith(("firebase_", "ga_", "google_")):
                yield f"{path}.params", f"invalid parameter name [{key}]", "NAME_INVALID"
            if not isinstance(value, (str, int, float)) or isinstance(value, bool):
                yield f"{path}.params.{key}", "not a text or a number", "VALUE_INVALID"
            elif isinstance(value, str) and len(value) > self._longer.get(key, 100):
                yield f"{path}.params.{key}", "value too long", "VALUE_INVALID"
        micros = event.get("timestamp_micros")
        if micros is not None and micros / 1e6 > time.time() + 900:
            yield f"{path}.timestamp_micros", "in the future", "VALUE_OUT_OF_BOUNDS"
