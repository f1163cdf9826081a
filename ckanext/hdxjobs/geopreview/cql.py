"""What a tile's URL may ask for: fields and a filter (CQL2, OGC 21-065r2), as ``hdxjobs.tile_v3`` takes them.

Only the form is judged here; whether a layer has such fields is known to the map database alone,
where a filter becomes SQL (sql/filters.sql).
"""

from __future__ import annotations

import json
from typing import Any

from ckanext.hdxjobs.errors import BadFilter
from ckanext.hdxjobs.geopreview import cql_text

TEXT, JSON = "cql2-text", "cql2-json"

#: Characters that a filter may have.
MAX_CHARACTERS = 10_000


def options(*, fields: str | None, filter_: str | None, language: str | None) -> str | None:
    """JSON of a tile's options, the same for the same ones; ``None``: all features, all fields.

    :param fields: names, separated by commas, or a JSON array of them; "": none
    :param language: of the filter, ``cql2-text`` (also if there is none) or ``cql2-json``
    :raises BadFilter: it cannot be read
    """
    asked: dict[str, Any] = {}
    if fields is not None:
        asked["fields"] = _names(fields)
    if filter_:
        asked["filter"] = _filter(filter_, language or TEXT)
    try:
        return json.dumps(asked, sort_keys=True) if asked else None
    except RecursionError as error:
        raise BadFilter("filter: too many conditions inside each other") from error


def _names(fields: str) -> list[str]:
    if not fields.startswith("["):
        return fields.split(",") if fields else []
    names = _loaded(fields, "fields")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadFilter('fields must be names, separated by commas or as a JSON array: ["name", "pop"]')
    return names


def _filter(text: str, language: str) -> Any:
    if language not in (TEXT, JSON):
        raise BadFilter(f"filter-lang must be {TEXT} or {JSON}")
    if len(text) > MAX_CHARACTERS:
        raise BadFilter(f"filter: at most {MAX_CHARACTERS} characters")
    return _loaded(text, "filter") if language == JSON else cql_text.parse(text)


def _loaded(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadFilter(f"{what} is no JSON: {error}") from error


def _no_number(name: str) -> None:
    message = f"{name} is no number"
    raise ValueError(message)
