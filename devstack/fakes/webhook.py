"""The receiver of a webhook: CloudEvents in batches, signed as standardwebhooks.com says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

from devstack.fakes.service import SEPARATOR, Request, Response, Service, answer

SECRET = "whsec_" + base64.b64encode(b"fake-webhook-secret").decode()


class Webhook(Service):
    """A receiver of CloudEvents batches that verifies signatures (standardwebhooks.com)."""

    paths = frozenset({"/webhook"})
    tolerance_s = 300

    def respond(self, request: Request) -> Response:
        if not self._signed(request):
            return answer(401, {"error": "the signature does not fit"})
        if not request.headers.get("content-type", "").startswith("application/cloudevents-batch+json"):
            return answer(415, {"error": "not a CloudEvents batch"})
        try:
            events = json.loads(request.body)
            keys = [SEPARATOR.join((event["source"], event["id"])) for event in events]
            right = all(event["specversion"] == "1.0" and event["type"] for event in events)
        except (ValueError, KeyError, TypeError):
            right = False
        if not right:
            return answer(400, {"error": "an attribute that CloudEvents requires is missing"})
        for key, event in zip(keys, events, strict=True):
            self.take(key, event["data"]["name"], event)
        return answer(200, {"received": len(events)})

    def _signed(self, request: Request) -> bool:
        stamp = request.headers.get("webhook-timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > self.tolerance_s:
            return False
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        text = f"{request.headers.get('webhook-id', '')}.{stamp}.".encode() + request.body
        right = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        signatures = request.headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(right, each) for each in signatures)
