"""How far a job is, and how much of a file was loaded, in numbers."""

from __future__ import annotations

import pyarrow as pa
import pytest
import shapely
import shapely.affinity

from ckanext.hdxjobs.errors import LoadError
from ckanext.hdxjobs.geopreview import layers, load, rows
from ckanext.hdxjobs.geopreview.values import Amount, Layer, Progress, Table


def layer(feature_count: int) -> Layer:
    return Layer("", "r", 1, None, "GeoJSON", "Towns", "", "Point", "EPSG:4326", "UTF-8", feature_count, ())  # type: ignore[arg-type]


def table(row_count: int) -> Table:
    return Table(layer(row_count), "", row_count, row_count, "Point", None)


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (Progress(1, 4, "bytes"), 0.25),
        (Progress(5, 4, "bytes"), 1.0),
        (Progress(5, None, "features"), None),
        (Progress(5, None, "features", 0.7), 0.7),
        (Progress(0, 0, "features"), None),
    ],
)
def test_a_share_is_told_where_anybody_can_tell(progress: Progress, share: float | None) -> None:
    assert progress.share == share


def test_several_layers_are_counted_together() -> None:
    far = layers.of_file(Progress(5, 10, "features"), [table(30)], [layer(30), layer(10), layer(60)])
    assert far == Progress(35, 100, "features")


def test_one_layer_that_cannot_tell_leaves_the_whole_open() -> None:
    far = layers.of_file(Progress(5, None, "features", 0.5), [table(30)], [layer(30), layer(-1)])
    assert (far.done, far.total, far.share) == (35, None, 0.75)


def test_a_layer_that_nobody_can_tell_of_leaves_the_share_open_too() -> None:
    assert layers.of_file(Progress(5, None, "features"), [], [layer(-1)]).share is None


def ewkb(*shapes: shapely.Geometry | None) -> pa.Array:
    return pa.array(
        [shape and shapely.to_wkb(shapely.set_srid(shape, 3857), include_srid=True) for shape in shapes],
        pa.binary(),
    )


def test_vertices_of_points_are_counted_exactly() -> None:
    assert rows.vertex_count(ewkb(shapely.Point(1, 2), None, shapely.Point(3, 4))) == 2


def test_vertices_of_other_shapes_are_counted_nearly() -> None:
    circle = shapely.Point(0, 0).buffer(1, quad_segs=25)
    shapes = [circle, circle.boundary, shapely.MultiPolygon([circle, shapely.affinity.translate(circle, 9)])]
    exact = int(shapely.get_num_coordinates(shapes).sum())
    assert exact <= rows.vertex_count(ewkb(*shapes)) <= 1.02 * exact


def test_vertices_of_a_part_of_a_batch_are_those_of_the_part() -> None:
    assert rows.vertex_count(ewkb(*[shapely.Point(1, 2)] * 10).slice(3, 4)) == 4


def test_no_shapes_have_no_vertices() -> None:
    assert rows.vertex_count(ewkb()) == 0


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (Amount(11, 0, 0), "too-many-features"),
        (Amount(0, 11, 0), "too-many-vertices"),
        (Amount(0, 0, 11), "table-too-big"),
    ],
)
def test_each_cap_has_its_error(amount: Amount, code: str) -> None:
    load.require_fit(Amount(10, 10, 10), Amount(10, 10, 10), layer="Towns")
    with pytest.raises(LoadError) as caught:
        load.require_fit(amount, Amount(10, 10, 10), layer="Towns")
    assert caught.value.code == code
    assert "11" in str(caught.value)
    assert "10" in str(caught.value)
