"""Shapes of a whole batch written as PostGIS's well-known binary, from their vertices alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ckanext.hdxjobs.geopreview.wkb import (
    COUNT,
    EWKB_SRID,
    HEAD,
    MULTIPOINT,
    MULTIPOLYGON,
    PAIR,
    POINT,
    Bytes,
    Flags,
    Floats,
    Ints,
    Runs,
    has_counts,
    has_heads,
    spread,
    window,
)


def _packed(*fields: tuple[str, str]) -> Any:
    return np.dtype(list(fields))


#: The first bytes of a shape; points and lines have no count there.
PREFIX = _packed(("order", "u1"), ("type", "<u4"), ("srid", "<u4"), ("count", "<u4"))
PREFIX_BYTES = np.array([0, 9, 9, 13, 13, 13, 13])
#: The first bytes of a part inside another shape; points and lines have no count of rings.
INNER = _packed(("order", "u1"), ("type", "<u4"), ("rings", "<u4"))


def encode(base: Ints, runs: Runs, xy: Floats, *, srid: int) -> pa.Array:
    """Flat EWKB of the shapes that have runs; null for the others.

    :param base: (n) types, as ``Codes.base``
    :param xy: (vertices of all runs, 2)
    """
    amount = np.bincount(runs.feature, _parts(base, runs), len(base)).astype(np.int64)
    drawn = amount > 0
    kind = base[runs.feature]
    lead = np.where(runs.rings > 0, HEAD + COUNT, np.where(has_heads(kind) & (kind != MULTIPOLYGON), HEAD, 0))
    count_bytes = np.where(has_counts(kind), COUNT, 0)
    run_bytes = lead + count_bytes + PAIR * runs.length
    head_bytes = np.where(drawn, PREFIX_BYTES[np.where(drawn, base, 0)], 0)
    # Where each shape and each run begins.
    ends = np.cumsum(head_bytes + np.bincount(runs.feature, run_bytes, len(base)).astype(np.int64))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    places = np.cumsum(run_bytes) - run_bytes + np.cumsum(head_bytes)[runs.feature]
    # What is written over the end of a head is overwritten by what follows it.
    out = np.zeros(int(offsets[-1]) + PREFIX.itemsize, np.uint8)
    window(out, PREFIX)[offsets[:-1][drawn]] = _prefixes(base[drawn], amount[drawn], srid)
    headed = lead > 0
    window(out, INNER)[places[headed]] = _inner(kind[headed], runs.rings[headed])
    places += lead
    counted = count_bytes > 0
    window(out, "<u4")[places[counted]] = runs.length[counted]
    spots = spread(places + count_bytes, runs.length, PAIR)
    numbers = window(out, "<f8")
    numbers[spots] = xy[:, 0]
    numbers[spots + 8] = xy[:, 1]
    return _array(offsets, out, drawn)


def _parts(base: Ints, runs: Runs) -> Flags:
    """Which runs the count in front of a shape counts: all, but of a multipolygon only the shells."""
    counted: Flags = (base[runs.feature] != MULTIPOLYGON) | (runs.rings > 0)
    return counted


def _prefixes(base: Ints, amount: Ints, srid: int) -> Any:
    prefixes = np.ones(len(base), PREFIX)
    prefixes["type"] = base | EWKB_SRID
    prefixes["srid"] = srid
    prefixes["count"] = amount
    return prefixes


def _inner(kind: Ints, rings: Ints) -> Any:
    heads = np.ones(len(kind), INNER)
    heads["type"] = kind - (MULTIPOINT - POINT)
    heads["rings"] = rings
    return heads


def _array(offsets: Ints, data: Bytes, drawn: Flags) -> pa.Array:
    validity = None if drawn.all() else pa.py_buffer(np.packbits(drawn, bitorder="little"))
    buffers = [validity, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(drawn), buffers)
