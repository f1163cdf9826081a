"""Gzip copies of stored tiles: compressed once, when they are stored, and sent as they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import db, transfer
from ckanext.hdxjobs.geopreview.hands import Hands
from ckanext.hdxjobs.geopreview.shelf import WORTHWHILE_BYTES, squeezed

PACKED = sql.Identifier("hdx_packed")


def pack(hands: Hands, stored: sql.Composable) -> None:
    """Give each stored tile its gzip copy; zlib works beside other threads, so that the hands share it."""
    count = len(hands.cursors)
    hands.each(partial(_pack_share, stored, count), range(count))


def _pack_share(stored: sql.Composable, count: int, cursor: Any, number: int) -> None:
    after = -1
    while True:
        params = {"after": after, "count": count, "number": number, "least_bytes": WORTHWHILE_BYTES}
        cursor.execute(db.query("unpacked_tiles", stored=stored), params)
        found = cursor.fetchall()
        if not found:
            return
        cells, copies = zip(*((cell, squeezed(bytes(mvt))) for cell, mvt in found), strict=True)
        columns = {"cell": np.array(cells, np.int64), "packed": np.array([*copies, None], object)[:-1]}
        cursor.execute(db.query("forget_packed"))
        transfer.fill(cursor, PACKED, columns)
        cursor.execute(db.query("pack_tiles", stored=stored))
        after = cells[-1]
