"""The two values of the hallway: an event as code states it, and its envelope as it is stored and sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, TypeAlias, TypeVar

E = TypeVar("E", bound="Event")

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


class MalformedError(ValueError):
    """What somebody sent is not an event of the catalogue; the text says why, without quoting it."""


#: What a caller may send: characters of a text, entries of a list.
TEXT_MAX = 500
LIST_MAX = 50

#: What JSON can say and no text of PostgreSQL can hold: the zero byte, and halves of characters, such as
#: a script leaves when it cuts a text within an emoji.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """A text without what the database would refuse."""
    return _UNSTORABLE.sub("", text)


def prop(name: str) -> Any:
    """A field that is sent under another name than its own with spaces."""
    return field(default=None, metadata={"property": name})


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened; each kind is a class with its properties as fields.

    A field is None when it is not known, and then it is not sent.  It is sent under its own name with
    spaces for underscores, unless :func:`prop` says otherwise.

    :cvar name: as the services show it
    :cvar from_browser: whether a visitor's browser may report it
    """

    name: ClassVar[str]
    from_browser: ClassVar[bool] = False

    event_source: str | None = None
    authenticated: bool | None = None

    def properties(self) -> dict[str, JSON]:
        """What is sent: known fields by their property names."""
        told: dict[str, JSON] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                told[property_name(one)] = list(value) if isinstance(value, tuple) else value
        return told

    @classmethod
    def from_properties(cls: type[E], properties: Mapping[str, Any]) -> E:
        """An event as somebody sent it.

        :raises MalformedError: a property that this event does not have, or of the wrong type or size
        """
        known = {property_name(one): one for one in fields(cls)}
        values = {}
        for key, value in properties.items():
            if key not in known:
                raise MalformedError(f"{cls.name}: there is no such property")
            if value is not None:
                values[known[key].name] = _checked(cls.name, known[key], value)
        return cls(**values)


def property_name(one: Field[Any]) -> str:
    """The name under which a field is sent."""
    name: str = one.metadata.get("property", one.name.replace("_", " "))
    return name


def property_type(one: Field[Any]) -> str:
    """What people call the type of a field: text, number, yes/no or list of texts."""
    return _KINDS[str(one.type).removesuffix(" | None")][0]


_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("text", (str,)),
    "int": ("number", (int,)),
    "float": ("number", (int, float)),
    "bool": ("yes/no", (bool,)),
    "tuple[str, ...]": ("list of texts", (list, tuple)),
}


def _checked(event: str, one: Field[Any], value: Any) -> Any:
    kind = str(one.type).removesuffix(" | None")
    if not isinstance(value, _KINDS[kind][1]) or (isinstance(value, bool) and kind != "bool"):
        raise MalformedError(f"{event}: {property_name(one)} must be a {_KINDS[kind][0]}")
    if isinstance(value, str):
        return storable(value)[:TEXT_MAX]
    if isinstance(value, (list, tuple)):
        if len(value) > LIST_MAX or not all(isinstance(entry, str) for entry in value):
            raise MalformedError(f"{event}: {property_name(one)} must be a list of at most {LIST_MAX} texts")
        return tuple(storable(entry)[:TEXT_MAX] for entry in value)
    if isinstance(value, (int, float)) and not -1e15 < value < 1e15:
        raise MalformedError(f"{event}: {property_name(one)} is out of range")
    return value
