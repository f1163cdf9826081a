"""Layers -> Tables: all that a file holds, one layer after the other; a damaged one is left out, and said."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ckanext.hdxjobs.errors import DetectError, LoadError
from ckanext.hdxjobs.geopreview import load, remedies
from ckanext.hdxjobs.geopreview.reader import Readers
from ckanext.hdxjobs.geopreview.values import Amount, Layer, Notice, OnProgress, Progress, Table

log = logging.getLogger(__name__)

#: Codes of failures that come to light among the features of a layer; others of the file may still be fine.
OF_ONE_LAYER = remedies.OF_THE_READER | {"unreadable", "value-refused"}


def load_all(  # noqa: PLR0913 (the caller's settings, not a bag of them)
    layers: Sequence[Layer],
    *,
    dsn: str,
    caps: Amount,
    max_columns: int,
    readers: Readers,
    progress: OnProgress,
) -> tuple[list[Table], tuple[Notice, ...]]:
    """Fill the tables of a file's layers, and tell which layers turned out to be damaged.

    :param caps: what all of them may have together
    :param progress: called with the features of all layers that are done
    :raises LoadError, DetectError, Superseded: as ``load.load``; also where no layer is left, or the reader
        broke and another one has not been tried
    """
    tables: list[Table] = []
    damaged: list[tuple[Layer, DetectError | LoadError]] = []
    for layer in layers:

        def of_layer(far: Progress) -> None:
            progress(of_file(far, tables, layers))

        taken = sum((table.amount for table in tables), Amount())
        try:
            table = load.load(
                layer,
                dsn=dsn,
                caps=caps,
                max_columns=max_columns,
                taken=taken,
                readers=readers,
                progress=of_layer,
            )
        except (DetectError, LoadError) as error:
            if error.code not in OF_ONE_LAYER or readers.may_turn:
                raise
            log.warning("layer %s is left out: %s", layer.layer_id, error.code)
            damaged.append((layer, error))
        else:
            tables.append(table)
    if not tables:
        raise damaged[0][1]
    return tables, tuple(Notice("layer-damaged", layer=layer.name) for layer, _ in damaged)


def of_file(of_layer: Progress, tables: Sequence[Table], layers: Sequence[Layer]) -> Progress:
    """How far all layers together are, when these tables are done and the next layer is this far."""
    counts = [layer.feature_count for layer in layers]
    done = sum(table.row_count for table in tables) + of_layer.done
    if min(counts) >= 0:
        return Progress(done, sum(counts), "features")
    share = of_layer.share
    return Progress(done, None, "features", None if share is None else (len(tables) + share) / len(layers))
