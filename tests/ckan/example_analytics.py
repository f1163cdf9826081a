"""An extension of a portal, as its authors would write it: the flags that only this portal has.

Shipped as the example of ``docs/events.rst``; the tests run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import ckan.plugins as p

from ckanext.hdxjobs.analytics.events import Event
from ckanext.hdxjobs.interfaces import IHdxJobsAnalytics


@dataclass(frozen=True, kw_only=True)
class MessageSent(Event):
    """A visitor wrote to the contributor of a dataset."""

    name: ClassVar[str] = "message sent"
    from_browser: ClassVar[bool] = True

    dataset_id: str | None = None
    message_type: str | None = None


class ExampleAnalytics(p.SingletonPlugin):
    """``ckan.plugins = hdxjobs example_analytics``."""

    p.implements(IHdxJobsAnalytics)

    def analytics_events(self) -> Iterable[type]:
        return [MessageSent]

    def analytics_properties(
        self, name: str, properties: dict[str, Any], about: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        if about.get("org_name") == "test-organization":
            return None
        if name == "dataset update" and properties.get("dataset name") == "broken":
            raise ValueError("not today")
        return properties | {"is cod": "cod" in (about.get("group_names") or ())}
