"""GA4's rules for names and values, and how our readable ones are fitted to them.

Rules: https://support.google.com/analytics/answer/13316687 and the section
"Limitations" of the Measurement Protocol's guide.
"""

from __future__ import annotations

import json
import re

from ckanext.hdxjobs.analytics.events import JSON, Envelope

MAX_NAME = 40
MAX_PARAMETERS = 25
MAX_VALUE = 100
#: Parameters that may be longer, in characters.
LONGER = {"page_location": 1000, "page_referrer": 420, "page_title": 300}

#: ``page_view`` is not among them: the protocol takes it, and reports want it.
RESERVED_EVENTS = frozenset(
    {"ad_activeview", "ad_click", "ad_exposure", "ad_impression", "ad_query", "ad_reward", "adunit_exposure"}
    | {"app_background", "app_clear_data", "app_exception", "app_install", "app_remove", "app_store_refund"}
    | {"app_store_subscription_cancel", "app_store_subscription_convert", "app_store_subscription_renew"}
    | {"app_uninstall", "app_update", "app_upgrade", "click", "dynamic_link_app_open"}
    | {"dynamic_link_app_update", "dynamic_link_first_open", "error", "file_download", "firebase_campaign"}
    | {"firebase_in_app_message_action", "firebase_in_app_message_dismiss"}
    | {"firebase_in_app_message_impression", "first_open", "first_visit", "form_start", "form_submit"}
    | {"in_app_purchase", "notification_dismiss", "notification_foreground", "notification_open"}
    | {"notification_receive", "notification_send", "os_update", "screen_view", "scroll", "session_start"}
    | {"session_start_with_rollout", "user_engagement", "video_progress", "video_start", "view_complete"}
    | {"view_search_results"}
)
RESERVED_PARAMETERS = frozenset(
    {"cid", "currency", "customer_id", "customerid", "dclid", "engagement_time_msec", "event_id", "gclid"}
    | {"session_id", "session_number", "sessionid", "sfmc_id", "sid", "srsltid", "uid", "user_id", "userid"}
)
RESERVED_PREFIXES = ("firebase_", "ga_", "google_", "gtag", "query_id")

#: Our property -> the parameter that GA4's own reports read.
STANDARD = {
    "$current_url": "page_location",
    "current url": "page_location",
    "referer url": "page_referrer",
    "page title": "page_title",
    "search term": "search_term",
}

#: Given to what would otherwise be reserved or start with a digit.
PREFIX = "p_"

# Together with session_id no report shows a visitor without it; we do not measure time.
_ENGAGEMENT_MS = 1


def event_name(name: str) -> str:
    """The name as GA4 wants it: "resource download" becomes ``resource_download``."""
    return _slug(name)


def problem(envelope: Envelope) -> str | None:
    """Why the event cannot be named in GA4, or None."""
    name = event_name(envelope.name)
    if not name or not name[0].isalpha():
        return "the event's name does not start with a letter"
    if len(name) > MAX_NAME:
        return f"the event's name is longer than {MAX_NAME} characters"
    if name in RESERVED_EVENTS or name.startswith(RESERVED_PREFIXES):
        return f"{name} is a name that Google Analytics keeps for itself"
    return None


def parameters(envelope: Envelope) -> dict[str, str | int | float]:
    """The event's ``params``: ours first, then properties in their order, as many as there may be."""
    found: dict[str, str | int | float] = {"event_id": envelope.event_id}
    if envelope.session_id:
        found["session_id"] = envelope.session_id
        found["engagement_time_msec"] = _ENGAGEMENT_MS
    for name, value in envelope.properties.items():
        if len(found) == MAX_PARAMETERS:
            break
        key = parameter_name(name)
        fitted = parameter_value(value, LONGER.get(key, MAX_VALUE))
        if fitted is not None and key not in found:
            found[key] = fitted
    return found


def parameter_name(name: str) -> str:
    """A property's name as a parameter's: letters, digits and ``_``, a letter first, at most 40."""
    key = STANDARD.get(name) or _slug(name)
    if key in RESERVED_PARAMETERS or key.startswith(RESERVED_PREFIXES) or not key[:1].isalpha():
        key = PREFIX + key
    return key[:MAX_NAME]


def parameter_value(value: JSON, max_length: int) -> str | int | float | None:
    """A number as it is, all else as text that is not too long; None for what says nothing."""
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return value[:max_length]
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return ",".join(map(str, value))[:max_length]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:max_length]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
