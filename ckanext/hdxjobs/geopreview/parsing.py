"""What the child process does with a file: describe its layers, stream their features.

Imported by ``parser`` only, after GDAL's drivers were narrowed to one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyogrio
from pyogrio.raw import open_arrow

from ckanext.hdxjobs.errors import N_
from ckanext.hdxjobs.geopreview import charset, columns, references, sheets, tabular
from ckanext.hdxjobs.geopreview.books import Tally
from ckanext.hdxjobs.geopreview.crs import SourceCrs, source_crs
from ckanext.hdxjobs.geopreview.formats import Format
from ckanext.hdxjobs.geopreview.kinds import Kind
from ckanext.hdxjobs.geopreview.shapes import Shapes, bounds
from ckanext.hdxjobs.geopreview.values import Coordinates

#: What the Arrow side raises when GDAL gives up in the middle of a file.
READ_ERRORS = (
    pa.ArrowException,
    # Arrow's name for GDAL's failure in the middle of a stream.
    OSError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.CRSError,
    # A GeoPackage of which nobody can tell what it opens.
    sqlite3.Error,
)

#: Columns that are named where one is missing.
SHOWN_COLUMNS = 12
#: Columns that GDAL reads of a table of text; what comes behind is lost without a word.
MAX_TABLE_COLUMNS = 10_000
#: Rows in a batch.
BATCH_ROWS = 16_384
#: Bytes of a file up to which its layers, once opened for describing, all stay open for streaming.
HELD_BYTES = 64 * 1024**2
#: Bytes of a table of text up to which it is parsed once only; of those of a workbook there may be many.
HELD_TABLE_BYTES = 128 * 1024**2


class UnfitError(Exception):
    """A layer that GDAL reads but that cannot become a map."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass
class _Opened:
    """A layer that GDAL is about to read.

    :ivar name: as GDAL lists it; None: the file's only one
    :ivar batches: all of them, the one that was looked at included
    :ivar kinds: of columns that are texts to GDAL and something else to people
    """

    name: str | None
    meta: dict[str, Any]
    schema: pa.Schema
    first: pa.RecordBatch | None
    batches: Iterator[pa.RecordBatch]
    crs: SourceCrs | None
    rows: tabular.Rows | None = None
    kinds: Mapping[int, Kind] = field(default_factory=dict)

    @property
    def has_geometry(self) -> bool:
        """Whether GDAL's batches end with a column of geometry."""
        return bool(self.meta["geometry_type"])

    @property
    def geometry_type(self) -> str:
        """As GDAL tells it, "Unknown" where columns tell the place, "" where nothing does."""
        return "Unknown" if self.rows else str(self.meta["geometry_type"] or "")

    @property
    def fields(self) -> dict[str, Any]:
        """What ``columns`` needs to know."""
        without = self.rows.without if self.rows else None
        return {"has_geometry": self.has_geometry, "without": without, "kinds": self.kinds}

    def blobs(self, batch: pa.RecordBatch) -> pa.Array:
        """Well-known binary of a batch's rows."""
        if self.rows:
            return self.rows.take(batch)
        return batch.column(batch.num_columns - 1) if self.has_geometry else pa.nulls(len(batch), pa.binary())


class File:
    """A file whose layers are described and then streamed.

    GDAL parses formats such as GeoJSON in full when it opens them.  So what was opened to describe stays
    open to stream, where memory allows.
    """

    def __init__(self, path: Path, format_: Format, named: Coordinates) -> None:
        self._path = path
        self._format = format_
        self._named = named
        pyogrio.set_gdal_config_options({"OGR_CSV_MAX_FIELD_COUNT": MAX_TABLE_COLUMNS})
        self._options = dict(format_.options)
        self._tables: dict[str | None, sheets.Table] = {}
        self._held: dict[str | None, tuple[contextlib.ExitStack, _Opened]] = {}

    def inspect(self) -> dict[str, Any]:
        """Describe each layer: name, type, CRS, count, fields, encoding."""
        if self._format.name == "GeoPackage" and (foreign := references.foreign_table(self._path)):
            code, reason = "unreadable", N_("its table {table} reads from outside the file")
            raise UnfitError(code, format="GeoPackage", reason=reason, table=foreign)
        encoding = charset.UTF8
        if self._format.name == "Shapefile":
            encoding = charset.of_dbf(self._path.with_suffix(".dbf"))
            pyogrio.set_gdal_config_options({"SHAPE_ENCODING": encoding.name})
        names = self._names()
        most = max(1, HELD_BYTES // max(self._path.stat().st_size, 1))
        layers = []
        for name in names:
            stack = contextlib.ExitStack()
            opened = self._open(name, stack)
            layers.append(
                self._described(opened) | {"encoding": encoding.name, "encoding_guessed": encoding.guessed}
            )
            if len(self._held) < most:
                self._held[name] = stack, opened
            else:
                stack.close()
        return {"layers": layers}

    def _names(self) -> list[str | None]:
        if self._format.single:
            return [None]
        return [str(name) for name in pyogrio.list_layers(self._path)[:, 0]]

    def _open(self, name: str | None, stack: contextlib.ExitStack) -> _Opened:
        opened = self._table(name, stack) if self._format.tabular else self._layer(name, stack)
        stated = opened.rows.stated_crs if opened.rows else opened.meta["crs"] or self._format.crs
        opened.crs = source_crs(stated, lambda: self._bounds(opened))
        return opened

    def _layer(self, name: str | None, stack: contextlib.ExitStack) -> _Opened:
        meta, reader = stack.enter_context(self._source(name, str(self._path), {}))
        first = next(reader, None)
        batches = iter(reader) if first is None else itertools.chain([first], reader)
        return _Opened(name, meta, reader.schema, first, batches, None)

    def _table(self, name: str | None, stack: contextlib.ExitStack) -> _Opened:
        source = functools.partial(self._source, name)
        held_bytes = HELD_TABLE_BYTES if self._format.single else 0
        table = self._tables.setdefault(
            name,
            sheets.Table(source, self._named, sheets.way(self._path, self._format), held_bytes=held_bytes),
        )
        try:
            sheet = table.open(stack)
        except sheets.ColumnMissingError as missing:
            code, there = "column-missing", ", ".join(missing.names[:SHOWN_COLUMNS])
            raise UnfitError(code, name=str(missing), columns=there) from missing
        except sheets.UnclosedError as unclosed:
            code, reason = "unreadable", N_("a quotation mark that opens in line {line} never closes")
            raise UnfitError(code, format=self._format.name, reason=reason, line=unclosed.line) from unclosed
        return _Opened(
            name, sheet.meta, sheet.schema, sheet.first, sheet.batches, None, sheet.rows, sheet.kinds
        )

    @contextlib.contextmanager
    def _source(self, name: str | None, path: str, options: Mapping[str, str]) -> Iterator[tuple[Any, Any]]:
        """What GDAL reads of a layer: its meta data and its batches."""
        source = open_arrow(
            path,
            layer=name,
            use_pyarrow=True,
            return_fids=True,
            batch_size=BATCH_ROWS,
            **self._options,
            **options,
        )
        with contextlib.ExitStack() as stack:
            try:
                opened = stack.enter_context(source)
            except IndexError as error:
                # A header that promises layers, and none there.
                message = "it has no layer"
                raise pyogrio.errors.DataLayerError(message) from error
            yield opened

    def _bounds(self, opened: _Opened) -> Any:
        """Of the layer where its header tells them, else of its first features."""
        if opened.first is None or not opened.geometry_type:
            return None
        if not self._format.parsed:
            info = pyogrio.read_info(self._path, layer=opened.name, force_total_bounds=True, **self._options)
            return info["total_bounds"]
        return bounds(opened.blobs(opened.first))

    def _described(self, opened: _Opened) -> dict[str, Any]:
        return {
            "name": opened.name or "",
            "geometry_type": opened.geometry_type,
            "feature_count": self._count(opened),
            "fields": columns.describe(opened.schema, **opened.fields),
            "source_crs": opened.crs.label if opened.crs else "",
            "crs_assumed": opened.first is not None and opened.crs is not None and opened.crs.assumed,
            "crs_unknown": opened.first is not None and opened.crs is None,
            "swapped": opened.rows is not None and opened.rows.swapped,
        }

    def _count(self, opened: _Opened) -> int:
        """Features, or -1 where nobody can tell before all were read."""
        if opened.first is None:
            return 0
        if not opened.geometry_type and not self._format.tabular:
            rest = sum(len(batch) for batch in opened.batches)
            opened.batches = iter(())
            return rest
        if self._format.parsed:
            return -1
        return int(pyogrio.read_info(self._path, layer=opened.name, **self._options)["features"])

    def stream(self, name: str | None, sink: BinaryIO) -> dict[str, Any]:
        """Write a layer's features as Arrow batches: fid, EWKB in EPSG:3857 (2D), then the fields.

        :returns: the counts and bounds that only a whole pass can tell
        """
        stack, opened = self._held.pop(name, (None, None))
        with stack or contextlib.ExitStack() as stack:
            opened = opened or self._open(name, stack)
            if opened.crs is None:
                code = "unknown-crs"
                raise UnfitError(code)
            return _written(opened, Shapes(opened.crs.crs), sink)


def _written(opened: _Opened, shapes: Shapes, sink: BinaryIO) -> dict[str, Any]:
    plan = columns.plan(opened.schema, **opened.fields)
    schema = pa.schema(
        [
            ("fid", pa.int64()),
            ("geometry", pa.binary()),
            *((f"c{n}", column.arrow) for n, column in enumerate(plan, 1)),
        ]
    )
    count = 0
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in _ahead(opened.batches):
            fids = batch.column(0).to_numpy(zero_copy_only=False)
            geometry = shapes.take(fids, opened.blobs(batch))
            fields = [column.convert(batch.column(column.index)) for column in plan]
            writer.write_batch(
                pa.record_batch([batch.column(0).cast(pa.int64()), geometry, *fields], schema=schema)
            )
            count += len(batch)
    at_zero = opened.rows.at_zero if opened.rows else Tally()
    report = shapes.report() | {"at_zero": at_zero.report()}
    return {"row_count": count, "shapes": json.loads(json.dumps(report, allow_nan=False))}


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; GDAL parses the next one, without Python's lock, while this one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as gdal:
        coming = gdal.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = gdal.submit(next, batches, None)
            yield batch
