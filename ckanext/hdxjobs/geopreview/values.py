"""What walks down the geopreview hallway: frozen values, no behaviour that needs I/O.

Order: Source -> Download -> Layer -> Table -> TileSet.  ``Notice`` travels with
any of them.  Coordinates: ``bbox_lonlat`` is always (west, south, east, north),
degrees, EPSG:4326, longitude first; ``None`` for a layer without coordinates, west > east for one
around the antimeridian (RFC 7946, 5.2).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Literal

BboxLonLat = tuple[float, float, float, float]


class State(str, Enum):
    """Where a preview stands; the few words of the whole system."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    READY = "ready"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    SUPERSEDED = "superseded"
    DELETED = "deleted"


class Phase(str, Enum):
    """What a running job is doing now."""

    FETCH = "fetch"
    DETECT = "detect"
    LOAD = "load"
    PUBLISH = "publish"


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    :ivar total: None where nobody can tell before the end
    :ivar share_read: how much of the file was read, 0 to 1; the next best where there is no total
    """

    done: int
    total: int | None
    unit: Literal["bytes", "features"]
    share_read: float | None = None

    @property
    def share(self) -> float | None:
        """0 to 1, or None: nobody can tell."""
        return min(self.done / self.total, 1.0) if self.total else self.share_read


@dataclass(frozen=True)
class Amount:
    """How much of a file was loaded, or may be.

    :ivar vertices: exact for points, a few per cent too many for other shapes
    :ivar table_bytes: as they go to PostgreSQL, before indexes
    """

    features: int = 0
    vertices: int = 0
    table_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.features + other.features,
            self.vertices + other.vertices,
            self.table_bytes + other.table_bytes,
        )


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Notice:
    """Something the publisher should know although the preview is ready.

    :ivar code: slug of a row in ``errors.NOTICES``
    :ivar layer: the layer's name in the file, or "" when it is about the file
    :ivar count: how many features (or columns, files) it concerns
    :ivar example: one of them, as a text a publisher can find again
    :ivar limit: the cap that was met, where there is one
    """

    code: str
    layer: str = ""
    count: int = 0
    example: str = ""
    limit: int = 0


@dataclass(frozen=True)
class Link:
    """A file that has to be fetched by HTTP.

    :ivar is_own: the site made this URL for a file of its own, so that it may lead to any address
    :ivar headers: for the request of this very URL; no redirect gets them
    """

    url: str
    is_own: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Coordinates:
    """Columns of a table that its publisher names as the place of its rows; "" where nothing is said.

    :ivar geometry: of whole geometries, or of "latitude, longitude"
    """

    latitude: str = ""
    longitude: str = ""
    geometry: str = ""

    @property
    def is_set(self) -> bool:
        """Whether a place is named: half a pair is none."""
        return bool(self.geometry or (self.latitude and self.longitude))


@dataclass(frozen=True)
class Source:
    """Where a resource's bytes are.  Exactly one of the two ways is set.

    :ivar open_upload: opens the file in CKAN's storage; yields chunks of bytes
    :ivar link: of a file elsewhere, or of an upload that can only be had through the site
    """

    resource_id: str
    generation: int
    file_name: str
    declared_format: str
    open_upload: Callable[[], Iterator[bytes]] | None = None
    link: Link | None = None
    coordinates: Coordinates = Coordinates()


@dataclass(frozen=True)
class Download:
    """A file on the worker's disk, inside the job's own folder.

    :ivar file_name: as the server calls it, else as the resource's URL does
    """

    resource_id: str
    generation: int
    path: Path
    file_name: str
    declared_format: str
    byte_count: int
    sha256: str
    coordinates: Coordinates = Coordinates()


@dataclass(frozen=True)
class Field:
    """A column of a layer.

    :ivar name: the name in the file, as publishers and visitors see it
    :ivar type: integer | number | boolean | string | date | datetime | time | json
    :ivar column: the safe name in our table (``c1`` ... ``cn``)
    :ivar key: the property's key in tiles: ``name``, shortened to 63 bytes and made unique
    """

    name: str
    type: str
    column: str
    key: str


@dataclass(frozen=True)
class Layer:
    """A layer inside the file, as the reader found it; nothing is loaded yet.

    :ivar layer_id: stable public id, the same for each generation (``rules.layer_id``)
    :ivar path: what the reader opens; inside the job's folder
    :ivar format: a name of ``formats.FORMATS``
    :ivar name_in_file: the layer's name as GDAL lists it; "" in a file of one layer
    :ivar source_crs: authority code such as "EPSG:32637", or the CRS's name
    :ivar feature_count: features in the file, or -1 when the driver cannot tell before reading
    """

    layer_id: str
    resource_id: str
    generation: int
    path: Path
    format: str
    name: str
    name_in_file: str
    geometry_type: str
    source_crs: str
    encoding: str
    feature_count: int
    fields: tuple[Field, ...]
    notices: tuple[Notice, ...] = ()
    coordinates: Coordinates = Coordinates()


@dataclass(frozen=True)
class Table:
    """A layer's rows in PostGIS: geometry in EPSG:3857, one table a generation, not yet served.

    :ivar row_count: rows in the table, those without geometry included
    :ivar drawable_count: rows with a geometry that can be drawn
    :ivar outline: where its features lie, a ``pyramid.Outline``; None: that has to be read from the table
    """

    layer: Layer
    table_name: str
    row_count: int
    drawable_count: int
    geometry_type: str
    bbox_lonlat: BboxLonLat | None
    notices: tuple[Notice, ...] = ()
    amount: Amount = Amount()
    outline: object | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Tile:
    """A vector tile as it is kept and sent.

    :ivar content: Mapbox Vector Tile, or its gzip copy; b"" where nothing is
    :ivar state: stored, live, preview, capped, ... as ``hdxjobs.tile_v3`` (sql/tiles.sql) explains them
    :ivar dropped: features left out because the tile would be too large
    :ivar is_packed: whether ``content`` is the gzip copy
    :ivar is_from_memory: of this process, so that no database was asked
    """

    content: bytes
    state: str
    dropped: int = 0
    is_packed: bool = False
    is_from_memory: bool = False

    @property
    def body(self) -> bytes:
        """The Mapbox Vector Tile."""
        return gzip.decompress(self.content) if self.is_packed else self.content

    @cached_property
    def digest(self) -> str:
        """Names the content: equal for tiles that are the same byte by byte."""
        return hashlib.sha256(self.content).hexdigest()[:32]


@dataclass(frozen=True)
class TileSet:
    """A published layer: what status, TileJSON and the map tell of it.

    :ivar is_prepared: each tile is known to be stored or cheap; until then tiles of heavy layers are previews
    :ivar outline: as in ``Table``, of a layer that was just loaded
    """

    layer_id: str
    resource_id: str
    generation: int
    name: str
    geometry_type: str
    feature_count: int
    bbox_lonlat: BboxLonLat | None
    fields: tuple[Field, ...]
    source_crs: str
    minzoom: int
    maxzoom: int
    is_prepared: bool = False
    outline: object | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """How an import ended well: the published layers and what the publisher should know."""

    tile_sets: tuple[TileSet, ...]
    notices: tuple[Notice, ...] = field(default=())
