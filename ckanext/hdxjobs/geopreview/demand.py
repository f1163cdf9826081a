"""Which layers visitors ask for, and how their tiles fare: for the sysadmins' page and for the shell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from ckan import model
from sqlalchemy.dialects.postgresql import JSONB, array

from ckanext.hdxjobs.geopreview import footprints
from ckanext.hdxjobs.geopreview.preview import PREVIEW, savepoint
from ckanext.hdxjobs.geopreview.tally import REST, Counts, Figures, Place, together

_LAYER_ID = re.compile(r"[0-9a-f]{20}", re.ASCII)


@dataclass(frozen=True)
class Known:
    """Where a layer belongs.

    :ivar layer_name: "" for the only layer of its file
    """

    package_id: str
    resource_id: str
    resource_name: str
    layer_name: str


@dataclass(frozen=True)
class LayerDemand:
    """A layer that visitors asked for.

    :ivar known: None for a layer that is no more, and for ``tally.REST``
    """

    layer_id: str
    known: Known | None
    figures: Figures


@dataclass(frozen=True)
class Report:
    """The layers that were asked for most.

    :ivar asked: tiles of all layers
    :ivar more_layers: how many others were asked for
    """

    layers: tuple[LayerDemand, ...]
    asked: int
    more_layers: int


@dataclass(frozen=True)
class ZoomDemand:
    zoom: int
    figures: Figures


@dataclass(frozen=True)
class SlowTile:
    place: Place
    ms: float


@dataclass(frozen=True)
class LayerReport:
    """One layer by zoom, and its slowest tiles."""

    layer: LayerDemand
    zooms: tuple[ZoomDemand, ...]
    slowest: tuple[SlowTile, ...]


def of_site(*, days: int, limit: int) -> Report:
    """The last days, today included.

    :raises redis.RedisError: Redis does not answer
    """
    asked = footprints.layers(days)
    first = list(asked)[:limit]
    counted = footprints.read(first, days)
    known = _known(first)
    layers = tuple(
        LayerDemand(layer_id, known.get(layer_id), together(counted[layer_id].values()).figures())
        for layer_id in first
    )
    return Report(layers, sum(asked.values()), len(asked) - len(first))


def of_layer(layer_id: str, *, days: int) -> LayerReport | None:
    """One layer in the last days, today included; None when nobody asked for it.

    :raises redis.RedisError: Redis does not answer
    """
    if layer_id != REST and not _LAYER_ID.fullmatch(layer_id):
        return None
    zooms: dict[int, Counts] = footprints.read([layer_id], days)[layer_id]
    if not zooms:
        return None
    total = together(zooms.values()).figures()
    return LayerReport(
        LayerDemand(layer_id, _known([layer_id]).get(layer_id), total),
        tuple(ZoomDemand(zoom, zooms[zoom].figures()) for zoom in sorted(zooms)),
        tuple(SlowTile(place, ms) for place, ms in footprints.slowest(layer_id, days)),
    )


def _known(layer_ids: Sequence[str]) -> dict[str, Known]:
    """Those that are served now."""
    wanted = set(layer_ids) - {REST}
    if not wanted:
        return {}
    ids = sa.func.jsonb_path_query_array(PREVIEW.c.layers, "$[*].layer_id", type_=JSONB)
    resource = model.resource_table
    query = (
        sa.select(PREVIEW.c.package_id, PREVIEW.c.resource_id, PREVIEW.c.layers, resource.c.name)
        .join(resource, resource.c.id == PREVIEW.c.resource_id)
        .where(ids.has_any(array(sorted(wanted))))
    )
    with savepoint() as connection:
        rows = connection.execute(query).mappings().all()
    return {
        layer["layer_id"]: Known(
            row["package_id"],
            row["resource_id"],
            row["name"] or row["resource_id"],
            layer["name"] if len(row["layers"]) > 1 else "",
        )
        for row in rows
        for layer in row["layers"]
        if layer["layer_id"] in wanted
    }
