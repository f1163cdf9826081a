"""The two values of the hallway: an event as code states it, and its envelope as it is stored and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"


@dataclass(frozen=True)
class Envelope:
    """What is stored and sent; nothing personal beyond this.

    :ivar event_id: uuid4, 36 characters: Mixpanel's ``$insert_id``, GA4's parameter ``event_id``,
        CloudEvents' ``id``
    :ivar name: as people read it, such as "resource download"
    :ivar occurred_at: aware, UTC, from the database's clock
    :ivar visitor_id: keyed hash with a daily salt, or "" when withheld
    :ivar session_id: digits, or ""
    :ivar properties: JSON values by name
    """

    event_id: str
    name: str
    occurred_at: datetime
    visitor_id: str
    session_id: str
    properties: Mapping[str, JSON]
