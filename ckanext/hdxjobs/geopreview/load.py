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
from ckanext.hdxjobs.geopreview import db, rows, rules, verdicts
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.outline import Tracer
from ckanext.hdxjobs.geopreview.reader import Readers
from ckanext.hdxjobs.geopreview.values import Amount, Field, Layer, Notice, OnProgress, Progress, Table

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

NOTHING = Amount()
#: What psycopg2 raises when a value cannot be stored; PostGIS calls shapes that it cannot read internal errors.
VALUE_REFUSED = (psycopg2.DataError, psycopg2.InternalError)


def load(  # noqa: PLR0913 (the caller's settings, not a bag of them)
    layer: Layer,
    *,
    dsn: str,
    caps: Amount,
    max_columns: int,
    readers: Readers,
    progress: OnProgress,
    taken: Amount = NOTHING,
) -> Table:
    """Fill a generation's own table; all or nothing.

    :param caps: what the whole file may have
    :param max_columns: columns of a layer that are shown; the rest is left out with a notice
    :param taken: what other layers of the file have already
    :param progress: called with the features of the layer that are done
    :raises LoadError: the database is away or refuses a value, or the file passes one of the caps
    :raises DetectError: the reader failed, or nothing of the layer can be drawn
    :raises Superseded: a newer generation is live, or the resource was deleted
    """
    require_fit(taken + Amount(features=layer.feature_count), caps, layer=layer.name)
    widest = min(max_columns, rules.MAX_COLUMNS)
    with db.session(dsn, error=LoadError) as connection:
        for most in (widest, min(widest, rules.SAFE_COLUMNS)):
            narrow = _with_columns(layer, most)
            try:
                with connection:
                    return _Import(connection, narrow, caps, progress, taken).run(readers)
            except psycopg2.errors.ProgramLimitExceeded:
                log.info("layer %s: a row with %s columns is too wide", layer.layer_id, len(narrow.fields))
    raise LoadError("internal")


def require_fit(amount: Amount, caps: Amount, *, layer: str) -> None:
    """Refuse a file that has more than it may.

    :param layer: the one that was read last
    :raises LoadError: code "too-many-features", "too-many-vertices" or "table-too-big"
    """
    if amount.features > caps.features:
        raise LoadError("too-many-features", found=amount.features, limit=caps.features)
    if amount.vertices > caps.vertices:
        raise LoadError("too-many-vertices", layer=layer, found=amount.vertices, limit=caps.vertices)
    if amount.table_bytes > caps.table_bytes:
        found, limit = rules.size_text(amount.table_bytes), rules.size_text(caps.table_bytes)
        raise LoadError("table-too-big", layer=layer, found=found, limit=limit)


def _with_columns(layer: Layer, most: int) -> Layer:
    """The layer with its first columns only, and a notice about the rest."""
    if len(layer.fields) <= most:
        return layer
    notice = Notice(
        "too-many-columns",
        layer=layer.name,
        count=len(layer.fields),
        example=layer.fields[most].name,
        limit=most,
    )
    return replace(layer, fields=layer.fields[:most], notices=(*layer.notices, notice))


class _Import:
    """One layer's way into its table, inside the caller's transaction."""

    def __init__(
        self,
        connection: extensions.connection,
        layer: Layer,
        caps: Amount,
        progress: OnProgress,
        taken: Amount,
    ) -> None:
        self._connection = connection
        self._layer = layer
        self._name = rules.table_name(layer.layer_id, layer.generation)
        self._caps = caps
        self._progress = progress
        self._taken = taken
        self._amount = NOTHING
        self._tracer = Tracer()
        self._bytes_read: Callable[[], Progress | None] = lambda: None
        self._share: float | None = None

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
                self._bytes_read = stream.bytes_read
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
        except psycopg2.Error as error:
            if file.error is not None:
                raise file.error from None
            if isinstance(error, VALUE_REFUSED):
                raise self._refused(error) from error
            raise
        return int(cursor.rowcount)

    def _refused(self, error: psycopg2.Error) -> LoadError:
        """Which value it was that PostgreSQL or PostGIS did not take."""
        row, column = verdicts.place_in_copy(error.diag.context)
        names = {field.column: field.name for field in self._layer.fields}
        return LoadError(
            "value-refused",
            layer=self._layer.name,
            row=row,
            column=names.get(column, column.removeprefix("hdx_")),
            reason=error.diag.message_primary or type(error).__name__,
        )

    def _chunks(self, first: Any, batches: Iterator[Any]) -> Iterator[bytes]:
        width = len(self._layer.fields) + 2
        json_columns = frozenset(
            index for index, field in enumerate(self._layer.fields, 2) if field.type == "json"
        )
        yield rows.HEADER
        batch = first
        while batch is not None:
            chunk = rows.encode(batch.select(range(width)), json_columns=json_columns) if len(batch) else b""
            self._amount += Amount(len(batch), rows.vertex_count(batch.column(1)), len(chunk))
            require_fit(self._taken + self._amount, self._caps, layer=self._layer.name)
            self._tracer.take(batch.column(0), batch.column(1))
            yield chunk
            self._progress(self._far())
            batch = next(batches, None)
        yield rows.TRAILER

    def _far(self) -> Progress:
        expected = self._layer.feature_count
        if expected > 0:
            return Progress(self._amount.features, expected, "features")
        # What the reader has closed, it has read: nobody can tell any more, and it does not get less.
        read = self._bytes_read()
        self._share = (read and read.share) or self._share
        return Progress(self._amount.features, None, "features", self._share)

    def _table(self, report: dict[str, Any], copied: int) -> Table:
        if not copied == self._amount.features == report["row_count"]:
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
            notices=(
                *self._layer.notices,
                *missing_notices(self._layer, copied),
                *shape_notices(self._layer.name, copied, shapes),
            ),
            amount=self._amount,
            outline=self._tracer.outline(),
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


def missing_notices(layer: Layer, row_count: int) -> Iterator[Notice]:
    """Where fewer features came than the file says it has: GDAL ends some damaged files without a word."""
    if row_count < layer.feature_count:
        missing = layer.feature_count - row_count
        yield Notice("features-missing", layer=layer.name, count=missing, limit=layer.feature_count)


def shape_notices(layer: str, row_count: int, shapes: dict[str, Any]) -> Iterator[Notice]:
    """What the pass over the geometry has to tell."""
    for code, key in (
        ("no-geometry", "missing"),
        ("out-of-range", "out_of_range"),
        ("parts-out-of-range", "parts_out_of_range"),
        ("beyond-map", "beyond_map"),
        ("at-zero", "at_zero"),
        ("curves-drawn-straight", "replaced"),
        ("geometry-repaired", "repaired"),
        ("geometry-unreadable", "unreadable"),
    ):
        if shapes[key]["count"]:
            yield Notice(code, layer=layer, count=shapes[key]["count"], example=shapes[key]["example"])
    if shapes["has_z"]:
        yield Notice("z-dropped", layer=layer, count=row_count)
