"""The only reader of CKAN's configuration: settings come out as frozen values.

Read when a job starts or a request comes, never at import.  Every option is
declared in ``config_declaration.yaml`` with its type, default and unit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ckan.plugins.toolkit as tk

PREFIX = "ckanext.hdxjobs."


@dataclass(frozen=True)
class GeoSettings:
    """What an import job may use and where it works."""

    loader_url: str
    max_download_bytes: int
    max_unpacked_bytes: int
    max_features: int
    max_vertices: int
    max_columns: int
    max_table_bytes: int
    max_layers: int
    connect_timeout_s: int
    read_timeout_s: int
    download_timeout_s: int
    reader_timeout_s: int
    reader_memory_bytes: int
    reader: str
    sandbox: str
    work_folder: Path
    link_hosts_allowed: frozenset[str]
    download_proxy: str | None

    @property
    def job_timeout_s(self) -> int:
        """RQ's own limit for the whole job: the phases' limits, two readers, and two minutes to tidy up."""
        return self.download_timeout_s + 4 * self.reader_timeout_s + 120


@dataclass(frozen=True)
class SiteSettings:
    """How a worker reaches this site.

    :ivar base_url: without a slash at its end
    :ivar secret: CKAN's own, which all its processes share
    """

    base_url: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class TileSettings:
    """What a web request may use of the map database, and give to whom.

    :ivar memory_bytes: of tiles that a process keeps
    :ivar other_sites: whether pages of other sites may use what is public
    """

    tiles_url: str
    statement_timeout_s: int
    memory_bytes: int
    other_sites: bool


@dataclass(frozen=True)
class MetricsSettings:
    """Where Prometheus reads, and what it has to bring.

    :ivar path: of the URL, with a slash in front; "": nowhere
    :ivar token: "": only sysadmins may read
    """

    path: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class MapSettings:
    """What lies under the data."""

    basemap: str
    basemap_attribution: str


@dataclass(frozen=True)
class AnalyticsSettings:
    """What is tracked, what may be known of visitors, and where events go.

    :ivar dsn: CKAN's own database
    :ivar site: host of this site, as in its URL
    :ivar filters: for each sink, patterns of the events it gets
    """

    enabled: bool
    sinks: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]
    actions: frozenset[str]
    api_calls: bool
    browser_events: bool
    browser_events_a_minute: int
    programs: frozenset[str]
    agents_ignored: frozenset[str]
    consent: str
    ip: str
    ip_header: str
    allow: frozenset[str]
    retention_days: int
    deadline_s: float
    spool_folder: Path
    spool_max_bytes: int
    site: str
    dsn: str = field(repr=False)


def _option(name: str) -> object:
    return tk.config[PREFIX + name]


def enabled() -> bool:
    """Whether saved geodata is queued at all."""
    return bool(_option("geopreview.enabled"))


def formats() -> tuple[str, ...]:
    """Names of the formats that become maps; none named means all."""
    return _words("geopreview.formats")


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
        max_vertices=number("max_vertices"),
        max_columns=number("max_columns"),
        max_table_bytes=number("max_table_bytes"),
        max_layers=number("max_layers"),
        connect_timeout_s=number("connect_timeout_s"),
        read_timeout_s=number("read_timeout_s"),
        download_timeout_s=number("download_timeout_s"),
        reader_timeout_s=number("reader_timeout_s"),
        reader_memory_bytes=number("reader_memory_bytes"),
        reader=str(_option("reader")),
        sandbox=str(_option("sandbox")),
        work_folder=Path(str(_option("geopreview.work_folder") or tempfile.gettempdir())),
        link_hosts_allowed=frozenset(hosts if isinstance(hosts, list) else str(hosts or "").split()),
        download_proxy=tk.config.get("ckan.download_proxy") or None,
    )


def site_settings() -> SiteSettings:
    """Settings of uploads that a worker can only have through the site."""
    return SiteSettings(
        base_url=str(_option("internal_base_url") or tk.config["ckan.site_url"]).rstrip("/"),
        secret=str(tk.config["SECRET_KEY"]),
    )


def tile_settings() -> TileSettings:
    """Settings of the tile and TileJSON routes."""
    return TileSettings(
        tiles_url=str(_option("postgis.tiles_url") or _option("postgis.url")),
        statement_timeout_s=int(str(_option("postgis.statement_timeout_s"))),
        memory_bytes=int(str(_option("tiles.memory_bytes"))),
        other_sites=bool(_option("tiles.other_sites")),
    )


def tiles_shared() -> bool:
    """Whether tile servers without users get the layers of public datasets."""
    return bool(_option("tiles.share"))


def metrics_settings() -> MetricsSettings:
    """Settings of the page for Prometheus."""
    path = str(_option("metrics.path") or "").strip("/")
    return MetricsSettings(path=path and f"/{path}", token=str(_option("metrics.token") or ""))


def map_settings() -> MapSettings:
    """Settings of the map page."""
    return MapSettings(
        basemap=str(_option("map.basemap")),
        basemap_attribution=str(_option("map.basemap_attribution") or ""),
    )


def analytics_settings() -> AnalyticsSettings:
    """Settings of the analytics wing."""
    sinks = _words("analytics.sinks")
    return AnalyticsSettings(
        enabled=bool(_option("analytics.enabled")),
        sinks=sinks,
        filters={sink: _words(f"{sink}.events", missing="*") for sink in sinks},
        actions=frozenset(_words("analytics.actions")),
        api_calls=bool(_option("analytics.api_calls")),
        browser_events=bool(_option("analytics.browser_events")),
        browser_events_a_minute=int(str(_option("analytics.browser_events_a_minute"))),
        programs=frozenset(_words("analytics.programs")),
        agents_ignored=frozenset(_words("analytics.agents_ignored")),
        consent=str(_option("analytics.consent") or "none"),
        ip=str(_option("analytics.ip")),
        ip_header=str(_option("analytics.ip_header") or ""),
        allow=frozenset(_words("analytics.allow")),
        retention_days=int(str(_option("analytics.retention_days"))),
        deadline_s=float(str(_option("analytics.deadline_s"))),
        spool_folder=Path(str(_option("analytics.spool_folder") or _own_folder() / "spool")),
        spool_max_bytes=int(str(_option("analytics.spool_max_bytes"))),
        site=urlsplit(str(tk.config["ckan.site_url"])).netloc.lower(),
        dsn=ckan_dsn(),
    )


def sink_options(name: str) -> dict[str, Any]:
    """The options of a sink, without their prefix; they hold secrets."""
    prefix = f"{PREFIX}{name}."
    options = {key[len(prefix) :]: value for key, value in tk.config.items() if key.startswith(prefix)}
    if name == "file" and not options.get("path"):
        options["path"] = str(_own_folder() / "events.jsonl")
    if name == "webhook":
        options["source"] = str(tk.config["ckan.site_url"])
    return options


def ckan_dsn() -> str:
    """CKAN's own database as libpq takes it: without the name of a driver."""
    scheme, _, rest = str(tk.config["sqlalchemy.url"]).partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def storage_folder() -> Path | None:
    """Where CKAN keeps uploads on this machine; None: elsewhere."""
    path = tk.config.get("ckan.storage_path")
    return Path(str(path)) if path else None


def _own_folder() -> Path:
    return (storage_folder() or Path(tempfile.gettempdir())) / "hdxjobs"


def _words(name: str, *, missing: str = "") -> tuple[str, ...]:
    """An option that is a list; of a sink of another package it may not be declared."""
    value = tk.config.get(PREFIX + name, missing)
    return tuple(value if isinstance(value, list) else str(value or "").split())
