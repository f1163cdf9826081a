"""Shapes out of well-known binary as GEOS knows them: mended where they could not be read, taken apart, put together.

What is invalid but draws its area is left as it is; tiles repair it after they have simplified it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ckanext.hdxjobs.geopreview import curves, wkb
from ckanext.hdxjobs.geopreview.wkb import Flags, Ints

Shapes = npt.NDArray[Any]

#: GEOS's numbers of types; those above the polygon are collections.
POINT, LINE, POLYGON, COLLECTION = 0, 1, 3, 7


@dataclass(frozen=True)
class Read:
    """Shapes of a batch and what had to be done to read them; all arrays have a place for each blob.

    :ivar shapes: None where nobody can read them
    :ivar repaired: a ring was open
    :ivar replaced: a curve, a surface or a triangle is drawn as something else
    :ivar heights: there is a height or a measure other than zero
    """

    shapes: Shapes
    repaired: Flags
    replaced: Flags
    heights: bool


def read(blobs: Shapes, codes: wkb.Codes) -> Read:
    """Shapes of at most one level: no collection in another, no curve.

    :param blobs: (n) bytes
    :param codes: of the same blobs
    """
    blobs = blobs.copy()
    replaced = np.zeros(len(blobs), bool)
    heights = False
    for place in np.flatnonzero((codes.base >= wkb.COLLECTION) | (codes.base == 0)):
        flat = _flat(blobs[place])
        blobs[place] = flat.blob if flat else b""
        if flat:
            replaced[place] = flat.replaced
            heights = heights or flat.heights
    shapes: Shapes = shapely.from_wkb(blobs, on_invalid="ignore")
    faulty = shapely.is_missing(shapes)
    faulty[_thin(shapes)] = True
    for place in np.flatnonzero(faulty):
        flat = _flat(blobs[place])
        shapes[place] = shapely.from_wkb(flat.blob, on_invalid="ignore") if flat else None
    repaired = faulty & ~shapely.is_missing(shapes)
    return Read(shapes, repaired, replaced, heights=heights or _have_heights(shapes))


def _flat(blob: bytes) -> curves.Flat | None:
    try:
        return curves.flatten(blob)
    except curves.NotWkbError:
        return None


def _have_heights(shapes: Shapes) -> bool:
    """Whether any height or measure is worth a word: Google Earth writes a zero after each pair of coordinates."""
    with_z, with_m = shapes[shapely.has_z(shapes)], shapes[shapely.has_m(shapes)]
    z = shapely.get_coordinates(with_z, include_z=True)[:, 2]
    m = shapely.get_coordinates(with_m, include_m=True)[:, 2]
    return bool(np.any(np.nan_to_num(z))) or bool(np.any(np.nan_to_num(m)))


def parts(shapes: Shapes, owners: Ints) -> tuple[Shapes, Ints]:
    """Single geometries out of collections of any depth, and to whom each belongs."""
    while np.any(shapely.get_type_id(shapes) > POLYGON):
        shapes, index = shapely.get_parts(shapes, return_index=True)
        owners = owners[index]
    return shapes, owners


def _thin(shapes: Shapes) -> Ints:
    """Which have a ring of fewer than four vertices; PostGIS takes none of these, GEOS does."""
    singles, owners = parts(shapes, np.arange(len(shapes)))
    polygons = shapely.get_type_id(singles) == POLYGON
    rings, index = shapely.get_rings(singles[polygons], return_index=True)
    found: Ints = owners[polygons][index[shapely.get_num_coordinates(rings) < 4]]
    return found


def together(singles: Shapes, owners: Ints, several: Flags) -> Shapes:
    """One shape an owner: a single one, a multi of one kind, or a collection of mixed kinds; None without parts.

    :param several: (owners) which were a multi or a collection before, and stay one
    """
    whole = np.full(len(several), None, dtype=object)
    kinds = shapely.get_dimensions(singles)
    amount = np.bincount(owners, minlength=len(several))
    several = several | (amount > 1)
    per_kind = [np.bincount(owners[kinds == kind], minlength=len(several)) for kind in range(3)]
    mixed = several & (np.max(per_kind, axis=0) < amount)
    alone = ~several[owners]
    whole[owners[alone]] = singles[alone]
    makers = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)
    for kind, make in enumerate(makers):
        _gather(whole, singles, owners, (kinds == kind) & (several & ~mixed)[owners], make)
    _gather(whole, singles, owners, mixed[owners], shapely.geometrycollections)
    return whole


def _gather(whole: Shapes, singles: Shapes, owners: Ints, which: Flags, make: Any) -> None:
    found, index = np.unique(owners[which], return_inverse=True)
    if len(found):
        order = np.argsort(index, kind="stable")
        whole[found] = make(singles[which][order], indices=index[order])
