"""Well-known binary read and written as bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely

from ckanext.hdxjobs.geopreview import wkb
from ckanext.hdxjobs.geopreview.ewkb import encode

PLAIN = [
    "POINT (1 2)",
    "LINESTRING (1 2, 3 4, 5 6)",
    "POLYGON ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1))",
    "MULTIPOINT (1 2, 3 4)",
    "MULTILINESTRING ((1 2, 3 4), (5 6, 7 8, 9 10))",
    "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1)))",
    "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1)), ((5 5, 6 5, 6 6, 5 5)))",
]


def many_polygons(count):
    """A multipolygon of so many triangles, each with a hole."""
    return f"MULTIPOLYGON ({', '.join(f'(({n} 0, {n} 9, 9 9, {n} 0), (1 1, 2 {n}, 2 2, 1 1))' for n in range(count))})"


MANY = [
    many_polygons(300),
    many_polygons(150),
    f"POLYGON ({', '.join(f'({n} 0, 9 0, 9 9, {n} 0)' for n in range(600))})",
    f"MULTILINESTRING ({', '.join(f'({n} 0, 9 9)' for n in range(600))})",
    f"MULTIPOINT ({', '.join(f'({n} 0)' for n in range(600))})",
]


def through(array):
    """What is written of what was read."""
    blobs = wkb.Blobs(array)
    codes = blobs.codes()
    runs = blobs.runs(codes)
    spots = wkb.spread(runs.start, runs.length, codes.stride[runs.feature])
    xy = np.column_stack([blobs.ordinates(spots), blobs.ordinates(spots + 8)])
    written = encode(codes.base, runs, xy, srid=3857)
    written.validate(full=True)
    return written.to_pylist()


def blob(wkt, **kw):
    return shapely.to_wkb(shapely.from_wkt(wkt), **kw)


def ewkb(wkt):
    shape = shapely.set_srid(shapely.force_2d(shapely.from_wkt(wkt)), 3857)
    return shapely.to_wkb(shape, include_srid=True, flavor="extended")


@pytest.mark.parametrize("wkt", [*PLAIN, *MANY])
def test_what_is_written_is_what_geos_would_write(wkt):
    assert through(pa.array([blob(wkt)])) == [ewkb(wkt)]


@pytest.mark.parametrize(
    "wkt",
    ["POINT Z (1 2 3)", "LINESTRING M (1 2 3, 4 5 6)", "POLYGON ZM ((0 0 1 2, 9 0 1 2, 9 9 1 2, 0 0 1 2))"],
)
@pytest.mark.parametrize("flavor", ["iso", "extended"])
def test_heights_and_measures_are_left_behind(wkt, flavor):
    assert through(pa.array([blob(wkt, output_dimension=4, flavor=flavor)])) == [ewkb(wkt)]


def test_a_batch_keeps_its_order_and_its_gaps():
    wkts = [PLAIN[3], None, PLAIN[0], PLAIN[2], None]
    blobs = pa.array([None if wkt is None else blob(wkt) for wkt in wkts])
    assert through(blobs) == [None if wkt is None else ewkb(wkt) for wkt in wkts]


def test_a_slice_of_an_array_is_read_from_its_own_beginning():
    array = pa.array([blob(wkt) for wkt in PLAIN]).slice(2, 3)
    assert through(array) == [ewkb(wkt) for wkt in PLAIN[2:5]]


def test_large_arrays_are_read_alike():
    assert through(pa.array([blob(PLAIN[2])], pa.large_binary())) == [ewkb(PLAIN[2])]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\1",
        b"\1\1\0\0\0",
        blob("POINT (1 2)", byte_order=0),
        blob("POINT (1 2)")[:-1],
        blob("POINT (1 2)") + b"\0",
        blob("POLYGON EMPTY"),
        blob("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), EMPTY)"),
        blob(many_polygons(300))[:-8],
        blob(many_polygons(300)).replace(b"\1\3\0\0\0", b"\1\2\0\0\0"),
        blob("GEOMETRYCOLLECTION (POINT (1 2))"),
        b"\1\2\0\0\0\xff\xff\xff\xff",
        b"\1\3\0\0\0\1\0\0\0\xff\xff\xff\x7f",
        b"\1\4\0\0\0\1\0\0\0" + blob("LINESTRING (1 2, 3 4)"),
        b"\1\6\0\0\0\1\0\0\0\1",
    ],
)
def test_what_is_not_plain_is_left_to_others(content):
    plain = blob("POINT (7 8)")
    assert through(pa.array([plain, content, plain])) == [ewkb("POINT (7 8)"), None, ewkb("POINT (7 8)")]


def test_an_empty_array_is_an_empty_array():
    assert through(pa.array([], pa.binary())) == []


def test_big_endian_types_are_known():
    codes = wkb.Blobs(pa.array([blob("LINESTRING Z (1 2 3, 4 5 6)", byte_order=0)])).codes()
    assert (codes.base.tolist(), codes.has_z.tolist(), codes.native.tolist()) == ([2], [True], [False])
