"""The types of fields: from what GDAL offers in Arrow to the few kinds a table has.

Kinds, as in ``values.Field.type``: integer, number, boolean, string, date,
datetime, time, json.  Binary fields have no kind and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ckanext.hdxjobs.geopreview.kinds import Kind

NO_KINDS: Mapping[int, Kind] = {}


@dataclass(frozen=True)
class Column:
    """A field to stream.

    :ivar index: its place in GDAL's batches
    :ivar kind: one of the kinds above
    :ivar arrow: the type it has in our stream
    :ivar convert: makes that type from GDAL's array
    """

    index: int
    name: str
    kind: str
    arrow: pa.DataType
    convert: Callable[[pa.Array], pa.Array]


def describe(
    schema: pa.Schema, *, has_geometry: bool, without: int | None = None, kinds: Mapping[int, Kind] = NO_KINDS
) -> dict[str, Any]:
    """Names and kinds of the fields in order, and the names of those left out."""
    kept = plan(schema, has_geometry=has_geometry, without=without, kinds=kinds)
    indexes = {column.index for column in kept}
    return {
        "kept": [
            {"name": column.name, "type": column.kind, "zoned": _zoned(column.arrow)} for column in kept
        ],
        "skipped": [
            schema.field(index).name
            for index in _field_indexes(schema, has_geometry)
            if index not in indexes and index != without
        ],
    }


def plan(
    schema: pa.Schema, *, has_geometry: bool, without: int | None = None, kinds: Mapping[int, Kind] = NO_KINDS
) -> list[Column]:
    """The fields that can be streamed; GDAL puts the fid first and the geometry last.

    :param without: the index of a column that is no field, because it is drawn
    :param kinds: of columns, by index, that are texts to GDAL and something else to people
    """
    found = (
        _column(index, schema.field(index), kinds.get(index))
        for index in _field_indexes(schema, has_geometry)
        if index != without
    )
    return [column for column in found if column is not None]


def _field_indexes(schema: pa.Schema, has_geometry: bool) -> range:
    return range(1, len(schema) - (1 if has_geometry else 0))


def _column(index: int, field: pa.Field, known: Kind | None) -> Column | None:
    if known is not None:
        return Column(index, field.name, known.name, known.arrow, known.convert)
    kind, arrow, convert = _kind(field)
    return Column(index, field.name, kind, arrow, convert) if kind else None


def _kind(field: pa.Field) -> tuple[str, pa.DataType, Callable[[pa.Array], pa.Array]]:  # noqa: PLR0911, C901 (a table)
    arrow = field.type
    extension = (field.metadata or {}).get(b"ARROW:extension:name", b"")
    if isinstance(arrow, pa.BaseExtensionType):
        extension, arrow = arrow.extension_name.encode(), arrow.storage_type
    if extension == b"arrow.json":
        return "json", pa.string(), lambda array: clean_text(_storage(array))
    if pa.types.is_boolean(arrow):
        return "boolean", pa.bool_(), _storage
    if pa.types.is_integer(arrow) and arrow != pa.uint64():
        return "integer", pa.int64(), lambda array: _storage(array).cast(pa.int64())
    if pa.types.is_floating(arrow):
        return "number", pa.float64(), lambda array: _storage(array).cast(pa.float64())
    if pa.types.is_date(arrow):
        return "date", pa.date32(), lambda array: _storage(array).cast(pa.date32())
    if pa.types.is_timestamp(arrow):
        target = pa.timestamp("us", "UTC" if arrow.tz else None)
        return "datetime", target, lambda array: _storage(array).cast(target, safe=False)
    if pa.types.is_time(arrow):
        return "time", pa.time64("us"), lambda array: _storage(array).cast(pa.time64("us"), safe=False)
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return "json", pa.string(), _lists_as_json
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow):
        return "", arrow, _storage
    return "string", pa.string(), lambda array: clean_text(_storage(array))


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _zoned(arrow: pa.DataType) -> bool:
    return pa.types.is_timestamp(arrow) and arrow.tz is not None


def clean_text(array: pa.Array) -> pa.Array:
    """Valid UTF-8 without NUL, which PostgreSQL's texts cannot hold."""
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        array = array.cast(pa.string())
    return pc.replace_substring(valid_text(array), pattern="\0", replacement="")


def valid_text(array: pa.Array) -> pa.Array:
    """Texts in valid UTF-8; what is none is replaced."""
    try:
        return array.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raw = array.cast(pa.binary()).to_pylist()
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in raw], pa.string()
        )


def _lists_as_json(array: pa.Array) -> pa.Array:
    values = (
        None if value is None else json.dumps(value, ensure_ascii=False, default=str)
        for value in array.to_pylist()
    )
    return clean_text(pa.array(list(values), pa.string()))
