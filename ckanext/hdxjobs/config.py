"""The only reader of CKAN's configuration: settings come out as frozen values.

Read when a job starts or a request comes, never at import.  Every option is
declared in ``config_declaration.yaml`` with its type, default and unit.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import ckan.plugins.toolkit as tk

PREFIX = "ckanext.hdxjobs."


@dataclass(frozen=True)
class GeoSettings:
    """What an import job may use and where it works."""

    loader_url: str
    max_download_bytes: int
    max_unpacked_bytes: int
    max_features: int
    max_layers: int
    connect_timeout_s: int
    read_timeout_s: int
    download_timeout_s: int
    reader_timeout_s: int
    reader_memory_bytes: int
    work_folder: Path
    link_hosts_allowed: frozenset[str]
    download_proxy: str | None

    @property
    def job_timeout_s(self) -> int:
        """RQ's own limit for the whole job: the phases' limits and two minutes to tidy up."""
        return self.download_timeout_s + 2 * self.reader_timeout_s + 120


@dataclass(frozen=True)
class TileSettings:
    """What a web request may use of the map database."""

    tiles_url: str
    statement_timeout_s: int


@dataclass(frozen=True)
class MapSettings:
    """What lies under the data."""

    basemap: str
    basemap_attribution: str


def _option(name: str) -> object:
    return tk.config[PREFIX + name]


def enabled() -> bool:
    """Whether saved geodata is queued at all."""
    return bool(_option("geopreview.enabled"))


def redis_url() -> str:
    """CKAN's own Redis."""
    return str(tk.config["ckan.redis.url"])


def redis_timeout_s() -> float:
    """Seconds that a web request may wait for Redis."""
    return float(str(_option("redis_timeout_s")))


def geo_settings() -> GeoSettings:
    """Settings of an import job."""

    def number(name: str) -> int:
        return int(str(_option("geopreview." + name)))

    hosts = _option("geopreview.link_hosts_allowed")
    return GeoSettings(
        loader_url=str(_option("postgis.url")),
        max_download_bytes=number("max_download_bytes"),
        max_unpacked_bytes=number("max_unpacked_bytes"),
        max_features=number("max_features"),
        max_layers=number("max_layers"),
        connect_timeout_s=number("connect_timeout_s"),
        read_timeout_s=number("read_timeout_s"),
        download_timeout_s=number("download_timeout_s"),
        reader_timeout_s=number("reader_timeout_s"),
        reader_memory_bytes=number("reader_memory_bytes"),
        work_folder=Path(str(_option("geopreview.work_folder") or tempfile.gettempdir())),
        link_hosts_allowed=frozenset(hosts if isinstance(hosts, list) else str(hosts or "").split()),
        download_proxy=tk.config.get("ckan.download_proxy") or None,
    )


def tile_settings() -> TileSettings:
    """Settings of the tile and TileJSON routes."""
    return TileSettings(
        tiles_url=str(_option("postgis.tiles_url") or _option("postgis.url")),
        statement_timeout_s=int(str(_option("postgis.statement_timeout_s"))),
    )


def map_settings() -> MapSettings:
    """Settings of the map page."""
    return MapSettings(
        basemap=str(_option("map.basemap")),
        basemap_attribution=str(_option("map.basemap_attribution") or ""),
    )
