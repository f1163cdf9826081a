"""What other extensions may implement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ckan.plugins.interfaces import Interface


class IHdxJobsAnalytics(Interface):  # type: ignore[misc]
    """Add kinds of events, add or change their properties, or veto an event.

    The methods are called when an event is stored: within the transaction of the save that it belongs
    to, or after the response was sent.  There is no request then.  An exception is logged, and the event
    goes on as if the method had not been there.
    """

    def analytics_events(self) -> Iterable[type]:
        """Kinds of events of your own: subclasses of ``ckanext.hdxjobs.analytics.events.Event``.

        ``hdx_event_track`` accepts them; browsers may report those with ``from_browser = True``.
        """
        return ()

    def analytics_properties(
        self,
        name: str,  # noqa: ARG002 the default uses nothing
        properties: dict[str, Any],
        about: Mapping[str, Any],  # noqa: ARG002
    ) -> dict[str, Any] | None:
        """The properties of an event as you want them, or None: the event is not tracked.

        Rules of privacy are applied afterwards, so that names of private datasets stay withheld.

        :param name: such as "resource download"
        :param properties: what would be stored; yours to change
        :param about: what the database knows of the event: dataset_id, dataset_name, resource_id,
            org_id and so on; empty when it is about none of them
        """
        return properties
