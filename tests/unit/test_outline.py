"""Where features lie, told while they are loaded."""

from __future__ import annotations

import pyarrow as pa
import pytest
import shapely

from ckanext.hdxjobs.geopreview import outline, pyramid
from ckanext.hdxjobs.geopreview.outline import Tracer

LINE = shapely.linestrings([[0, 0], [300, 400], [500, -100]])
SQUARE = shapely.box(-1e6, 2e6, -9e5, 3e6)


def ewkb(*shapes):
    blobs = [
        None if shape is None else shapely.to_wkb(shapely.set_srid(shape, 3857), include_srid=True)
        for shape in shapes
    ]
    return pa.array(blobs, pa.binary())


def traced(*batches):
    tracer, first = Tracer(), 0
    for shapes in batches:
        tracer.take(pa.array(range(first, first + len(shapes)), pa.int64()), shapes)
        first += len(shapes)
    return tracer.outline()


def metres(found, column):
    """West, north, east, south of a feature."""
    west, north, east, south = found.bounds[:, column] * (pyramid.HALF_WORLD_M / 2**29) - pyramid.HALF_WORLD_M
    return west, -north, east, -south


def test_shapes_of_all_kinds_have_their_box_vertices_and_dimension():
    mixed = shapely.geometrycollections([shapely.points(0, 0), SQUARE])
    found = traced(ewkb(shapely.points(5, 6), LINE, SQUARE, mixed))
    assert found.fid.tolist() == [0, 1, 2, 3]
    assert found.vertices.tolist() == [1, 3, 5, 6]
    assert found.dimension.tolist() == [0, 1, 2, 2]
    assert metres(found, 2) == pytest.approx((-1e6, 3e6, -9e5, 2e6), abs=1)


def test_points_alone_are_told_as_among_others():
    spots = [shapely.points(x, x / 3) for x in (-2e7, -1234.5678, 0, 0.1, 1e7 / 3)]
    alone, among = traced(ewkb(*spots)), traced(ewkb(*spots, LINE))
    assert alone.bounds.tolist() == among.bounds[:, :-1].tolist()
    assert alone.vertices.tolist() == [1] * 5


def test_what_has_no_shape_has_no_place():
    assert traced(ewkb(None, SQUARE, None), ewkb(None), ewkb(None, SQUARE)).fid.tolist() == [1, 5]


def test_a_part_of_a_batch_is_told_as_itself():
    spots = ewkb(*(shapely.points(x, 0) for x in range(0, 1_000_000, 100_000)))
    part = traced(spots.slice(3, 4))
    assert part.bounds.tolist() == traced(spots).bounds[:, 3:7].tolist()


def test_a_layer_without_shapes_has_no_outline():
    assert traced(ewkb(None), ewkb()) is None


def test_very_many_features_are_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr(outline, "MOST", 3)
    assert traced(ewkb(SQUARE, SQUARE), ewkb(SQUARE, None)) is not None
    assert traced(ewkb(SQUARE, SQUARE), ewkb(SQUARE, SQUARE), ewkb(SQUARE)) is None
