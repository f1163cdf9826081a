"""What the database knows about the ids in an event: names, organization, groups, privacy.

Asked when an event is stored, so that a browser's word is taken for ids only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ckanext.hdxjobs.analytics.events import Event
from ckanext.hdxjobs.analytics.sql import query

Ask = Callable[[str, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Facts:
    """Fields of events, and whether the dataset is private.

    :ivar is_private: True too when nothing could be found out: names are withheld then
    """

    is_private: bool
    fields: Mapping[str, Any]


#: Fields that are facts: what a caller says of them counts only as a question.
_FIELDS = frozenset(
    {
        *(
            "dataset_id",
            "dataset_name",
            "dataset_availability",
            "org_id",
            "org_name",
            "group_ids",
            "group_names",
        ),
        *("resource_id", "resource_name", "file_format"),
    }
)

NOTHING = Facts(False, {})
UNKNOWN = Facts(True, {})


def find(event: Event, ask: Ask) -> Facts:
    """The facts about an event; NOTHING when it is about no dataset, resource or organization."""
    asked = {name: getattr(event, f"{name}_id", None) for name in ("resource", "dataset", "org")}
    if not any(asked.values()):
        return NOTHING
    rows = ask(query("facts"), asked)
    return _facts(rows[0]) if rows else NOTHING


def _facts(row: Any) -> Facts:
    dataset, name, private, org, org_name, groups, group_names, resource, resource_name, file_format = row
    known: dict[str, Any] = {"org_id": org, "org_name": org_name}
    if dataset:
        known |= {
            "dataset_id": dataset,
            "dataset_name": name,
            "dataset_availability": "private" if private else "public",
            "is_private": bool(private),
            "group_ids": tuple(groups or ()) or None,
            "group_names": tuple(group_names or ()) or None,
        }
    if resource:
        known |= {"resource_id": resource, "resource_name": resource_name, "file_format": file_format}
    return Facts(bool(private), known)


def told(event: Event, facts: Facts, *, claimed: bool) -> Event:
    """The event with what is known of its ids.

    :param claimed: its ids are a browser's word: what they lead to counts, and nothing else
    """
    names = {one.name for one in fields(event)}
    known = {name: value for name, value in facts.fields.items() if name in names and value is not None}
    doubtful = {name for name in names & _FIELDS if facts is not UNKNOWN or not name.endswith("_id")}
    return replace(event, **(dict.fromkeys(doubtful) if claimed else {}) | known)
