"""``ckan hdxjobs tiles``: who asks for which tiles, and how quickly they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
import redis

from ckanext.hdxjobs.geopreview import demand, footprints
from ckanext.hdxjobs.geopreview.demand import LayerDemand, LayerReport, Report
from ckanext.hdxjobs.geopreview.tally import REST, Figures, Place

_COLUMNS = "  tiles  ready  p50 ms  p99 ms  max ms  at                 MB"


@click.command()
@click.argument("layer_id", metavar="[LAYER]", required=False)
@click.option(
    "--days",
    type=click.IntRange(min=1, max=footprints.KEEP_DAYS),
    default=7,
    show_default=True,
    help="So many days, today included.",
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many layers.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def tiles(layer_id: str | None, days: int, limit: int, as_json: bool) -> None:
    """Tell which layers are asked for and how their tiles fare, or one LAYER by zoom.

    "ready" are tiles that were stored or in memory; p50 and p99 are estimated from a histogram.
    """
    with _redis():
        report = demand.of_layer(layer_id, days=days) if layer_id else demand.of_site(days=days, limit=limit)
    if report is None:
        raise click.ClickException(f"Nobody asked for tiles of a layer {layer_id} in {days} days")
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
        return
    for line in _layer_lines(report) if isinstance(report, LayerReport) else _site_lines(report, days):
        click.echo(line)


@contextmanager
def _redis() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise click.ClickException(
            f"Redis, where tiles are counted, does not answer: {type(error).__name__} (setting ckan.redis.url)"
        ) from error


def _site_lines(report: Report, days: int) -> Iterator[str]:
    yield f"{report.asked} tiles in {days} days"
    if report.asked:
        yield f"{'layer':20} {_COLUMNS}  name"
    for layer in report.layers:
        yield f"{layer.layer_id:20} {_cells(layer.figures)}  {_name(layer)}"
    if report.more_layers:
        yield f"and {report.more_layers} layers more (--limit)"


def _layer_lines(report: LayerReport) -> Iterator[str]:
    yield f"{report.layer.layer_id}  {_name(report.layer)}"
    yield f"{'zoom':>4} {_COLUMNS}  from"
    for one in report.zooms:
        yield f"{one.zoom:4} {_cells(one.figures)}  {_sources(one.figures)}"
    yield f"{'all':>4} {_cells(report.layer.figures)}  {_sources(report.layer.figures)}"
    yield "The slowest tiles:"
    for tile in report.slowest:
        yield f"{tile.ms:8.1f} ms  {_at(tile.place)}"


def _cells(figures: Figures) -> str:
    """A row below ``_COLUMNS``."""
    return (
        f"{figures.asked:7} {figures.ready_share * 100:4.0f} % {figures.p50_ms:7.1f} {figures.p99_ms:7.1f} "
        f"{figures.max_ms:7.1f}  {_at(figures.slowest):14} {figures.sent_bytes / 1e6:6.1f}"
    )


def _at(place: Place | None) -> str:
    return "/".join(map(str, place)) if place else "-"


def _sources(figures: Figures) -> str:
    return ", ".join(f"{source} {count}" for source, count in figures.by_source.items())


def _name(layer: LayerDemand) -> str:
    if layer.layer_id == REST:
        return "all other layers, when too many were asked for at once"
    if layer.known is None:
        return "a layer that is no more"
    return ": ".join(filter(None, (layer.known.resource_name, layer.known.layer_name)))
