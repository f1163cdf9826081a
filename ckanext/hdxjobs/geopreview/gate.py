"""Who is let in to a layer: asked of CKAN, and believed for a second.

A map asks for thirty tiles at once, and CKAN takes milliseconds to decide.  Only permissions are
remembered, each process its own and for a second at most, so that whatever takes them away (a dataset
made private, a member removed, a resource deleted) ends all tiles within that second.
A right is never a part of a URL, which travels to logs and other sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import ckan.plugins.toolkit as tk

from ckanext.hdxjobs.geopreview import record, rights
from ckanext.hdxjobs.geopreview.recent import Recent
from ckanext.hdxjobs.geopreview.tiles import TileReader
from ckanext.hdxjobs.geopreview.values import TileSet

#: Seconds that a permission is believed.
BELIEVED_S = 1.0
#: Layers and visitors of them that are remembered.
MAX_REMEMBERED = 2_000


@dataclass(frozen=True)
class Admission:
    """A layer that the visitor may see.

    :ivar is_public: so may everybody
    """

    tile_set: TileSet
    is_public: bool


admissions: Recent[Admission] = Recent(ttl_s=BELIEVED_S, max_entries=MAX_REMEMBERED)


def admit(layer_id: str, reader: TileReader, *, anew: bool = False) -> Admission | None:
    """The layer as it is served now, if this visitor may see it.

    :param anew: ask now, whatever is remembered
    :raises PoolBusy: the map database cannot be asked
    """
    anybody, visitor = (layer_id, rights.ANONYMOUS), (layer_id, tk.current_user.name)
    known = None if anew else admissions.find(anybody) or admissions.find(visitor)
    if known is not None:
        return known
    asked_at_s = admissions.now_s()
    admission = _decide(layer_id, reader)
    for key in (anybody, visitor):
        admissions.drop(key)
    if admission is not None:
        admissions.keep(anybody if admission.is_public else visitor, admission, asked_at_s=asked_at_s)
    return admission


def public(layer_id: str) -> Admission | None:
    """The layer, if everybody was allowed to see it a moment ago; ``None``: that has to be asked."""
    return admissions.find((layer_id, rights.ANONYMOUS))


def _decide(layer_id: str, reader: TileReader) -> Admission | None:
    tile_set = reader.layer(layer_id)
    if tile_set is None or not record.is_served(tile_set.resource_id):
        return None
    if rights.may_see(tile_set.resource_id, rights.ANONYMOUS):
        return Admission(tile_set, is_public=True)
    if rights.may_see(tile_set.resource_id, tk.current_user.name):
        return Admission(tile_set, is_public=False)
    return None
