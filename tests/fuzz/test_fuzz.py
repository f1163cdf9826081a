"""Whatever bytes and names come, what looks at them first ends in a result or in an error of ours.

60 seconds by default, shared by the properties; ``HDXJOBS_FUZZ_S=3600 ./dev test fuzz`` runs longer.  Each run goes
through the same rounds in the same order, as far as it gets; ``HDXJOBS_FUZZ_SEED=5`` names others.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import makers
import numpy as np
import pyarrow as pa
import pyproj
import shapely
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import charset, coordinates, rules, tabular
from ckanext.hdxjobs.geopreview.shapes import Shapes
from ckanext.hdxjobs.geopreview.sniff import sniff
from ckanext.hdxjobs.geopreview.unzip import unzip
from ckanext.hdxjobs.geopreview.values import Coordinates

PROPERTIES = 8
SECONDS_EACH = float(os.environ.get("HDXJOBS_FUZZ_S", "60")) / PROPERTIES
SEED = os.environ.get("HDXJOBS_FUZZ_SEED", "0")
MAX_UNPACKED_BYTES = 100_000

#: A round; rounds are repeated, with new chances, until the time is up.
ROUND = settings(
    max_examples=150,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

MAGICS = st.sampled_from(
    (b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"{", b'{"type":', b'{"type":"FeatureCollection","features":[', b"<", b"<?xml ",
     b"<kml", b"SQLite format 3\0", b"fgb\x03fgb\x01", b"\x00\x00\x27\x0a", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf",
     b"!table\n", b"Version 300\n", b"a,b\n1,2\n", b"\x1e{")
)  # fmt: skip
FRAGMENTS = st.sampled_from(
    (b'"type":"Feature"', b'"geometry":null', b'"Topology"', b"<gml:", b"<gpx", b"</kml>", b"<!DOCTYPE x [", b"\n", b"\0", b",",
     b"\t", b'"', b"encoding='windows-1251'", "漢é".encode(), "漢é".encode("utf-16"), "Жж".encode("cp1251"))
)  # fmt: skip
CONTENTS = st.builds(
    lambda magic, parts: magic + b"".join(parts),
    MAGICS,
    st.lists(st.one_of(st.binary(max_size=40), FRAGMENTS), max_size=12),
)
NAMES = st.text(max_size=80)


def for_its_time(check: Callable[[], None]) -> None:
    until = time.monotonic() + SECONDS_EACH
    for number in itertools.count():
        seed(f"{SEED} {number}")(check)()
        if time.monotonic() >= until:
            break


def test_any_bytes_are_some_kind_or_none() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"

        @ROUND
        @given(CONTENTS)
        def check(content: bytes) -> None:
            path.write_bytes(content)
            assert sniff(path) is None or sniff(path)

        for_its_time(check)


def _zip(entries: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # A name may come twice: that is the point.
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name or "x"), content)
    return out.getvalue()


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A zip, of which some bytes may have changed and the end may be missing."""
    entries = draw(st.lists(st.tuples(NAMES, st.one_of(CONTENTS, st.just(b"\0" * 60_000))), max_size=5))
    raw = bytearray(_zip(entries))
    for place, value in draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=6)
    ):
        raw[place] = value
    return bytes(raw[: draw(st.integers(max(0, len(raw) - 60), len(raw)))])


def _unzipped(archive: Path, folder: Path) -> str:
    try:
        unzip(archive, folder=folder, max_unpacked_bytes=MAX_UNPACKED_BYTES)
    except PreviewError as error:
        return error.code
    return ""


def test_any_archive_is_unpacked_within_its_folder_and_its_budget_or_refused() -> None:
    with tempfile.TemporaryDirectory() as parent:

        @ROUND
        @given(archives())
        def check(content: bytes) -> None:
            with tempfile.TemporaryDirectory(dir=parent) as name:
                archive, folder = Path(name) / "archive", Path(name) / "unpacked"
                archive.write_bytes(content)
                assert _unzipped(archive, folder) in {"", "bad-zip", "unsafe-zip", "zip-too-big", "zip-bomb"}
                found = [each for each in Path(name).rglob("*") if each != archive and each.is_file()]
                assert all(each.is_relative_to(folder) and not each.is_symlink() for each in found)
                assert sum(each.stat().st_size for each in found) <= MAX_UNPACKED_BYTES + 2**20
                assert set(os.listdir(parent)) == {Path(name).name}

        for_its_time(check)


@ROUND
@given(st.lists(st.tuples(NAMES, st.sampled_from(("string", "integer", "json"))), max_size=60))
def _fields_are_safe(names: list[tuple[str, str]]) -> None:
    fields = rules.make_fields(names)
    assert len(fields) == len(names)
    assert len({field.key for field in fields}) == len(fields)
    assert all(
        1 <= len(field.key.encode()) <= rules.MAX_KEY_BYTES and "\0" not in field.key for field in fields
    )
    assert all(field.column == f"c{number}" for number, field in enumerate(fields, 1))


def test_any_names_of_columns_become_unique_keys_that_fit() -> None:
    for_its_time(_fields_are_safe)


@ROUND
@given(st.lists(NAMES, max_size=40))
def _layers_are_unique(names: list[str]) -> None:
    assert len(set(rules.unique_names(names))) == len(names)


def test_any_names_of_layers_become_unique() -> None:
    for_its_time(_layers_are_unique)


WORDS = st.sampled_from(
    ("lat", "lon", "long", "x", "y", "wkt", "geom", "location", "latitude", "Широта", "خط العرض")
)
HEADERS = st.one_of(NAMES, WORDS, st.builds(lambda a, b: a + b, WORDS, NAMES))
CELLS = st.one_of(
    NAMES,
    st.sampled_from(
        ("1.5", "1,5", "POINT (1 2)", "-1.3, 36.8", "#geo+lat", "SRID=1;POINT(1 2)", "1°2'S", "00", "{")
    ),
)


@ROUND
@given(st.data(), st.lists(HEADERS, min_size=1, max_size=8), st.integers(1, 5))
def _rows_are_placed(data: st.DataObject, names: list[str], count: int) -> None:
    columns = [data.draw(st.lists(st.none() | CELLS, min_size=count, max_size=count)) for _ in names]
    arrays = [pa.array(range(count)), *(pa.array(column, pa.string()) for column in columns)]
    batch = pa.record_batch(arrays, names=["fid", *(str(number) for number in range(len(names)))])
    rows = tabular.rows(names, batch, Coordinates())
    if rows is not None:
        shapes = shapely.from_wkb(rows.take(batch).to_numpy(zero_copy_only=False), on_invalid="raise")
        assert len(shapes) == count


def test_any_table_has_its_rows_placed_or_not() -> None:
    for_its_time(_rows_are_placed)


@ROUND
@given(st.text(alphabet="0123456789.,-+°'′\"″NSEWO \t:", max_size=30) | NAMES)
def _angles_are_numbers(text: str) -> None:
    value = tabular.angle(text)
    assert math.isnan(value) or math.isfinite(value)
    assert list(coordinates.words(text)) == [word for word in coordinates.words(text) if word]


def test_any_text_is_an_angle_or_none() -> None:
    for_its_time(_angles_are_numbers)


@ROUND
@given(
    st.binary(max_size=200)
    | st.builds(lambda text, codec: text.encode(codec, "ignore"), NAMES, st.sampled_from(charset.PLAUSIBLE))
)
def _texts_have_an_encoding(sample: bytes) -> None:
    found = charset.guess(sample)
    assert found.name
    sample.decode(found.name, "replace")


def test_any_bytes_have_an_encoding_that_python_knows() -> None:
    for_its_time(_texts_have_an_encoding)


ARC = makers.curve(8, [(178, 0), (180, 2), (182, 0)])
SHAPES = (
    ARC,
    makers.container(12, makers.curve_polygon(ARC)),
    *(
        shapely.to_wkb(shapely.from_wkt(wkt), output_dimension=4)
        for wkt in (
            "POINT (1 2)",
            "POINT EMPTY",
            "LINESTRING ZM (1 2 3 4, 179 3 4 5, -179 5 6 7)",
            "POLYGON ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1))",
            "POLYGON ((170 -80, -100 -75, 0 -80, 170 -80))",
            "MULTIPOINT ((1 2), EMPTY, (3 4))",
            "MULTILINESTRING ((1 2, 3 4), EMPTY, (170 1, -170 2))",
            "MULTIPOLYGON (((177 0, -177 0, -177 9, 177 9, 177 0)), EMPTY, ((0 0, 2 0, 2 2, 0 0)), ((1 0, 3 0, 3 2, 1 0)))",
            "GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (LINESTRING EMPTY, POLYGON ((0 0, 200 0, 9 9, 0 0))))",
        )
    ),
)
ORDINATES = (
    st.sampled_from((0, 90, -90, 91, 180, -180, 179.9, 359, 400, 1e308, math.nan, math.inf)) | st.floats()
)


@st.composite
def damaged_shapes(draw: st.DrawFn) -> bytes:
    """Well-known binary with other bytes, other numbers, other counts, or without its end."""
    raw = bytearray(draw(st.sampled_from(SHAPES)))
    patches = draw(
        st.lists(
            st.binary(min_size=1, max_size=1)
            | st.builds(lambda number: np.float64(number).tobytes(), ORDINATES)
            | st.builds(lambda number: np.uint32(number).tobytes(), st.integers(0, 2**32 - 1)),
            max_size=3,
        )
    )
    for patch in patches:
        place = draw(st.integers(0, len(raw) // 4)) * 4 + draw(st.sampled_from((0, 1)))
        raw[place : place + len(patch)] = patch
    return bytes(raw[: draw(st.sampled_from((len(raw), len(raw) - 1, len(raw) // 2)))])


@ROUND
@given(
    st.lists(damaged_shapes() | st.binary(max_size=30) | st.none(), max_size=8),
    st.sampled_from(("EPSG:4326", "EPSG:3857", "EPSG:3031", "EPSG:32660")),
)
def _shapes_are_drawn_or_counted(blobs: list[bytes | None], crs: str) -> None:
    shapes = Shapes(pyproj.CRS(crs))
    taken = shapes.take(np.arange(len(blobs)), pa.array(blobs, pa.binary()))
    taken.validate(full=True)
    drawn = [shapely.from_wkb(blob) for blob in taken.to_pylist() if blob is not None]
    report = shapes.report()
    assert report["drawable_count"] == len(drawn)
    lost = sum(report[key]["count"] for key in ("missing", "out_of_range", "unreadable"))
    assert len(drawn) + lost == len(blobs)
    edge = 20_050_000
    assert all(-edge < bound < edge for shape in drawn for bound in shape.bounds)


def test_any_geometry_is_drawn_within_the_map_or_counted() -> None:
    for_its_time(_shapes_are_drawn_or_counted)
