"""Layer -> Table: features stream from the reader into PostGIS by binary COPY, in one transaction."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from ckanext.hdxjobs.errors import LoadError, Superseded
from ckanext.hdxjobs.geopreview import db, rows, rules
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.reader import Readers
from ckanext.hdxjobs.geopreview.values import Field, Layer, Notice, Table

log = logging.getLogger(__name__)

#: Kind of a field -> type of its column.  ``json``, not ``jsonb``: it takes whatever is
#: JSON (huge numbers, \\u0000, lone surrogates) and keeps the publisher's text.
COLUMN_TYPES = {
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "string": "text",
    "date": "date",
    "datetime": "timestamp",
    "time": "time",
    "json": "json",
}

Progress = Callable[[float | None], None]


def load(  # noqa: PLR0913 (the caller's settings, not a bag of them)
    layer: Layer,
    *,
    dsn: str,
    max_features: int,
    readers: Readers,
    progress: Progress,
    taken: int = 0,
) -> Table:
    """Fill a generation's own table; all or nothing.

    :param max_features: more than these in the whole file end in ``too-many-features``
    :param taken: features that other layers of the file have already
    :param progress: called with the share that is done, 0 to 1, or ``None`` where the file cannot tell
    :raises LoadError: the database is away, or the file has too many features
    :raises DetectError: the reader failed, or nothing of the layer can be drawn
    :raises Superseded: a newer generation is live, or the resource was deleted
    """
    if taken + layer.feature_count > max_features:
        raise LoadError("too-many-features", limit=max_features)
    with db.session(dsn, error=LoadError) as connection:
        for max_columns in (rules.MAX_COLUMNS, rules.SAFE_COLUMNS):
            narrow = _with_columns(layer, max_columns)
            try:
                with connection:
                    return _Import(connection, narrow, max_features, progress, taken).run(readers)
            except psycopg2.errors.ProgramLimitExceeded:
                log.info("layer %s: a row with %s columns is too wide", layer.layer_id, len(narrow.fields))
    raise LoadError("internal")


def _with_columns(layer: Layer, most: int) -> Layer:
    """The layer with its first columns only, and a notice about the rest."""
    if len(layer.fields) <= most:
        return layer
    left_out = layer.fields[most:]
    notice = Notice("columns-dropped", layer=layer.name, count=len(left_out), example=left_out[0].name)
    return replace(layer, fields=layer.fields[:most], notices=(*layer.notices, notice))


class _Import:
    """One layer's way into its table, inside the caller's transaction."""

    def __init__(
        self,
        connection: extensions.connection,
        layer: Layer,
        max_features: int,
        progress: Progress,
        taken: int,
    ) -> None:
        self._connection = connection
        self._layer = layer
        self._name = rules.table_name(layer.layer_id, layer.generation)
        self._max_features = max_features
        self._progress = progress
        self._taken = taken
        self._read = 0
        self._share_read: Callable[[], float | None] = lambda: None

    def run(self, readers: Readers) -> Table:
        layer = self._layer
        with self._connection.cursor() as cursor:
            self._take_place(cursor)
            with readers.stream(
                layer.path,
                format_=FORMATS[layer.format],
                layer=layer.name_in_file,
                encoding=layer.encoding,
                coordinates=layer.coordinates,
            ) as stream:
                self._share_read = stream.share_read
                batches = iter(stream.batches)
                first = next(batches, None)
                self._create(cursor, first)
                copied = self._copy(cursor, self._chunks(first, batches))
            result = self._table(stream.report, copied)
            self._register(cursor, result)
        return result

    def _take_place(self, cursor: Any) -> None:
        identity = {"resource_id": self._layer.resource_id, "generation": self._layer.generation}
        cursor.execute(db.query("add_resource"), identity)
        cursor.execute(db.query("overtaken"), identity)
        (overtaken,) = cursor.fetchone() or (False,)
        if overtaken:
            raise Superseded(self._layer.resource_id)

    def _create(self, cursor: Any, first: Any) -> None:
        columns: list[sql.Composable] = [
            sql.SQL("hdx_fid bigint NOT NULL"),
            sql.SQL("hdx_geom geometry(Geometry, 3857)"),
        ]
        for index, field in enumerate(self._layer.fields, 2):
            zoned = first is not None and getattr(first.schema.field(index).type, "tz", None) is not None
            kind = "timestamptz" if zoned else COLUMN_TYPES[field.type]
            columns.append(sql.SQL("{} {}").format(sql.Identifier(field.column), sql.SQL(kind)))
        cursor.execute(db.query("drop_table", table=db.table(self._name)))
        cursor.execute(
            db.query("create_table", table=db.table(self._name), columns=sql.SQL(", ").join(columns))
        )

    def _copy(self, cursor: Any, chunks: Iterator[bytes]) -> int:
        file = rows.CopyFile(chunks)
        try:
            cursor.copy_expert(db.query("copy_rows", table=db.table(self._name)), file)
        except psycopg2.Error:
            if file.error is not None:
                raise file.error from None
            raise
        return int(cursor.rowcount)

    def _chunks(self, first: Any, batches: Iterator[Any]) -> Iterator[bytes]:
        width = len(self._layer.fields) + 2
        json_columns = frozenset(
            index for index, field in enumerate(self._layer.fields, 2) if field.type == "json"
        )
        yield rows.HEADER
        batch = first
        while batch is not None:
            self._read += len(batch)
            if self._taken + self._read > self._max_features:
                raise LoadError("too-many-features", limit=self._max_features)
            if len(batch):
                yield rows.encode(batch.select(range(width)), json_columns=json_columns)
            self._progress(self._share())
            batch = next(batches, None)
        yield rows.TRAILER

    def _share(self) -> float | None:
        expected = self._layer.feature_count
        return min(self._read / expected, 1.0) if expected > 0 else self._share_read()

    def _table(self, report: dict[str, Any], copied: int) -> Table:
        if not copied == self._read == report["row_count"]:
            log.error("layer %s: %s rows read, %s copied", self._layer.layer_id, report["row_count"], copied)
            raise LoadError("internal")
        shapes = report["shapes"]
        return Table(
            layer=self._layer,
            table_name=self._name,
            row_count=copied,
            drawable_count=shapes["drawable_count"],
            geometry_type=shapes["geometry_type"],
            bbox_lonlat=tuple(shapes["bbox_lonlat"]) if shapes["bbox_lonlat"] else None,
            notices=(*self._layer.notices, *shape_notices(self._layer.name, copied, shapes)),
        )

    def _register(self, cursor: Any, table: Table) -> None:
        layer = self._layer
        cursor.execute(
            db.query("stage_layer"),
            {
                "layer_id": layer.layer_id,
                "generation": layer.generation,
                "resource_id": layer.resource_id,
                "table_name": table.table_name,
                "name": layer.name,
                "geometry_type": table.geometry_type,
                "feature_count": table.row_count,
                "bbox_lonlat": list(table.bbox_lonlat) if table.bbox_lonlat else None,
                "fields": fields_json(layer.fields),
                "source_crs": layer.source_crs,
            },
        )


def fields_json(fields: tuple[Field, ...]) -> str:
    """Fields as the registry keeps them."""
    return json.dumps([{key: rules.clean(value) for key, value in asdict(field).items()} for field in fields])


def shape_notices(layer: str, row_count: int, shapes: dict[str, Any]) -> Iterator[Notice]:
    """What the pass over the geometry has to tell."""
    for code, key in (
        ("no-geometry", "missing"),
        ("out-of-range", "out_of_range"),
        ("parts-out-of-range", "parts_out_of_range"),
        ("beyond-map", "beyond_map"),
        ("curves-drawn-straight", "replaced"),
        ("geometry-repaired", "repaired"),
        ("geometry-unreadable", "unreadable"),
    ):
        if shapes[key]["count"]:
            yield Notice(code, layer=layer, count=shapes[key]["count"], example=shapes[key]["example"])
    if shapes["has_z"]:
        yield Notice("z-dropped", layer=layer, count=row_count)
