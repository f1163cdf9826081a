"""``shape_info``: the history of a preview in the form that clients of the original HDX stack know.

A list, newest last, at most ten entries; absent values are the text "None".  Entries get their
timestamp from the database, by ``preview.appended``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckanext.hdxjobs.geopreview.values import TileSet

Entry = dict[str, Any]

#: The resource extra that carries the history, as a JSON text.
EXTRA = "shape_info"

MAX_ENTRIES = 10
NONE = "None"

#: Our field types in the words of PostgreSQL's catalogue.
_DATA_TYPES = {
    "integer": "integer",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp with time zone",
    "time": "time without time zone",
}


def _entry(*, state: str, message: str, **more: Any) -> Entry:
    entry = {
        "state": state,
        "message": message,
        "layer_id": NONE,
        "error_type": NONE,
        "error_class": NONE,
    }
    return entry | more


def processing() -> Entry:
    """The preview was asked for, or is tried again."""
    return _entry(state="processing", message="The map preview is being made")


def success(tile_sets: Sequence[TileSet], *, dropped: int) -> Entry:
    """The preview is ready.

    :param tile_sets: at least one; the first gives layer id, box and fields
    :param dropped: features of the file that are not on the map
    """
    first = tile_sets[0]
    note = f", {dropped} features without a place on the map were left out" if dropped else ""
    return _entry(
        state="success",
        message="Import successful" + note,
        layer_id=first.layer_id,
        bounding_box=_box(first),
        layer_fields=[
            {"field_name": field.key, "data_type": _DATA_TYPES.get(field.type, "character varying")}
            for field in first.fields
        ],
    )


def failure(*, message: str, error_type: str, error_class: str) -> Entry:
    """The preview could not be made."""
    return _entry(
        state="failure",
        message=message,
        type=error_type,
        error_type=error_type,
        error_class=error_class,
    )


def withdrawn(history: Sequence[Entry]) -> list[Entry]:
    """The history without the request that stands at its end; old clients know no cancelling."""
    entries = list(history)
    return entries[:-1] if entries and entries[-1]["state"] == "processing" else entries


def _box(tile_set: TileSet) -> str:
    if tile_set.bbox_lonlat is None:
        return NONE
    west, south, east, north = tile_set.bbox_lonlat
    if west > east:
        # Old clients know no box around the antimeridian.
        west, east = -180.0, 180.0
    return f"BOX({west} {south},{east} {north})"
