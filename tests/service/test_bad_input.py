"""What publishers upload by mistake or on purpose: each ends in its own code, and nothing stays behind."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zipfile
from dataclasses import replace

import makers
import numpy as np
import pyarrow as pa
import pytest
import samples
import shapely
from conftest import AMPLE
from corpus import build

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import detect, load, publish, reader
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Amount, Coordinates

VRT = b'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'

EMPTY_TOPOJSON = (
    b'{"type":"Topology","objects":{"a":{"type":"GeometryCollection","geometries":[]}},"arcs":[]}'
)

NOT_GEODATA = {
    "plain json": b'{"result": {"records": [1, 2, 3]}}',
    "a list": b"[1, 2, 3]",
    "xml": b'<?xml version="1.0"?><roads version="1.1"></roads>',
    "noise": bytes(range(256)) * 10,
    "a spreadsheet": makers.zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
    "a service description": b'{"type":"FeatureCollection","links":[{"rel":"next","href":"http://127.0.0.1:1/"}]}',
}


def code_of(imported, content, **kw):
    with pytest.raises(errors.PreviewError) as caught:
        imported(content, **kw)
    return caught.value


@pytest.mark.parametrize("content", NOT_GEODATA.values(), ids=NOT_GEODATA)
@pytest.mark.parametrize("name", ["x.geojson"])
def test_what_is_not_geodata_is_unsupported(imported, content, name):
    error = code_of(imported, content, name=name)
    assert error.code in {"not-geodata", "unreadable"} if b"links" in content else error.code == "not-geodata"


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html><body>Log in</body></html>", b"<html></html>"])
def test_a_web_page_in_place_of_a_file_is_told_as_such(imported, content):
    assert code_of(imported, content, name="x.geojson").code == "html-page"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF document"),
        (b"II*\0\x08\0\0\0", "a GeoTIFF or other TIFF image"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (gzip.compress(b"roads.shp".ljust(257, b"\0") + b"ustar\0" + bytes(250)), "a tar archive"),
        (makers.zipped({"scan.tif": b"II*\0\x08\0\0\0", "readme": b"x"}), "a GeoTIFF or other TIFF image"),
        (
            makers.zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<d/>"}),
            "a Word document",
        ),
        (b'{"geometryType":"esriGeometryPoint","features":[]}', "ESRI JSON"),
        (VRT, "a project that only refers to other files"),
    ],
)
def test_files_of_other_kinds_are_told_in_words(imported, content, found):
    error = code_of(imported, content, name="x.geojson")
    assert (error.code, error.params) == ("unsupported-format", {"found": found})
    assert found in str(error)


@pytest.mark.parametrize("content", [makers.kml(), makers.zipped({"a.kml": makers.kml()})])
def test_a_format_that_is_switched_off_is_told(imported, content):
    error = code_of(imported, content, formats=frozenset({"GeoJSON"}))
    assert (error.code, error.params) == ("format-off", {"format": "KML"})


def test_files_of_a_format_that_is_switched_off_are_left_out_and_told(imported):
    files = {"a.kml": makers.kml(("A", makers.town_placemarks())), "b.geojson": makers.towns()}
    result = imported(makers.zipped(files), formats=frozenset({"GeoJSON"}))
    assert [(notice.code, notice.example) for notice in result.notices] == [("layers-skipped", "a.kml")]


@pytest.mark.parametrize("content", [EMPTY_TOPOJSON, b"<gpx version='1.1'></gpx>"])
def test_other_formats_without_features_say_so(imported, content):
    assert code_of(imported, content).code == "no-features"


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_geojson_is_unreadable(imported, share):
    content = makers.geojson(
        *(makers.feature(makers.point(n % 90, n % 80), n=n, text="x" * 50) for n in range(3000))
    )
    assert code_of(imported, content[: int(len(content) * share)]).code == "unreadable"


def test_a_geojson_cut_between_features_is_unreadable(imported):
    content = makers.geojson(*(makers.feature(makers.point(n % 90, n % 80), n=n) for n in range(3000)))
    cut = content.rindex(b', {"type": "Feature"')
    assert code_of(imported, content[:cut]).code == "unreadable"


def test_a_truncated_kml_is_unreadable(imported):
    content = makers.kml(("Towns", makers.town_placemarks() * 200))
    assert code_of(imported, content[: len(content) // 2]).code == "unreadable"


def test_messages_name_no_path_of_the_server(imported):
    error = code_of(imported, makers.towns()[:-3])
    assert "/tmp" not in str(error)
    assert "GeoJSON" in str(error)


def test_an_empty_file_has_a_code_of_its_own(imported):
    assert code_of(imported, b"").code == "empty-file"


def test_a_zip_without_layers_is_unsupported(imported):
    assert code_of(imported, makers.zipped({"readme.txt": b"hello"})).code == "zip-without-layers"


def test_a_shapefile_without_its_shp_is_incomplete(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    del parts["towns.shp"]
    error = code_of(imported, makers.zipped(parts))
    assert (error.code, error.params) == ("shapefile-incomplete", {"name": "towns", "missing": ".shp"})


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda inner: makers.zipped({"inner.zip": inner}),
        lambda inner: makers.zipped({"inner.zip.gz": gzip.compress(inner)}),
        lambda inner: gzip.compress(makers.zipped({"inner.zip": inner})),
    ],
)
def test_a_zip_inside_a_zip_is_not_opened(imported, tmp_path, wrapped):
    error = code_of(imported, wrapped(makers.zipped(makers.shapefile(tmp_path))))
    assert error.code == "packed-twice"
    assert error.params["entry"].startswith("inner.zip")


def test_a_gzip_file_in_a_gzip_file_is_not_opened(imported):
    error = code_of(imported, gzip.compress(gzip.compress(makers.towns())), name="towns.geojson.gz")
    assert (error.code, error.params) == ("packed-twice", {"entry": "towns.geojson"})


@pytest.mark.parametrize(
    ("make", "lost", "missing"),
    [
        (samples.mapinfo_tab, [".dat"], ".dat"),
        (samples.mapinfo_tab, [".map", ".id"], ".map, .id"),
        (samples.mapinfo_mif, [".mid"], ".mid"),
    ],
)
def test_a_mapinfo_file_without_its_parts_is_incomplete(imported, tmp_path, make, lost, missing):
    parts = make(tmp_path)
    for ending in lost:
        del parts[f"towns{ending}"]
    error = code_of(imported, makers.zipped(parts))
    ending = ".tab" if make is samples.mapinfo_tab else ".mif"
    assert (error.code, error.params) == (
        "mapinfo-incomplete",
        {"name": f"towns{ending}", "missing": missing},
    )


@pytest.mark.parametrize("cut", [0.2, 0.9])
def test_a_cut_off_gzip_file_is_bad(imported, cut):
    packed = gzip.compress(makers.towns() * 50)
    assert code_of(imported, packed[: int(len(packed) * cut)]).code == "bad-zip"


def test_a_gzip_bomb_is_refused(imported):
    bomb = gzip.compress(b" " * 50_000_000)
    assert code_of(imported, bomb, max_unpacked_bytes=10**9).code == "zip-bomb"


def test_a_gzip_file_larger_than_the_cap_names_cap_and_size(imported):
    error = code_of(imported, gzip.compress(bytes(range(256)) * 8192), max_unpacked_bytes=1024**2)
    assert (error.code, error.params) == ("zip-too-big", {"limit": "1 MB", "found": "2 MB"})


def test_a_shapefile_without_prj_and_not_in_degrees_has_no_known_crs(imported, tmp_path):
    import shapely

    places = shapely.points([(257000.0 + n, 9857000.0) for n in range(3)])
    parts = makers.shapefile(tmp_path, geometries=places, crs="EPSG:32737")
    del parts["towns.prj"]
    assert code_of(imported, makers.zipped(parts)).code == "unknown-crs"


@pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
def test_a_cut_off_part_of_a_shapefile_is_unreadable(imported, tmp_path, suffix):
    parts = makers.shapefile(tmp_path)
    name = f"towns{suffix}"
    parts[name] = parts[name][:-20]
    error = code_of(imported, makers.zipped(parts))
    assert error.code == "unreadable"
    assert f"its {suffix} file is cut off, bytes missing: " in str(error)


def test_a_shapefile_of_noise_is_not_believed(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    parts["towns.shp"] = b"\xff" * 500
    assert code_of(imported, makers.zipped(parts)).code in {"unreadable", "not-geodata"}


def test_an_empty_feature_collection_has_no_features(imported):
    assert code_of(imported, makers.geojson()).code == "no-features"


def test_a_kml_without_placemarks_has_no_features(imported):
    assert code_of(imported, makers.kml(("Empty", ""))).code == "no-features"


def test_a_kml_of_links_only_has_no_features(imported):
    link = b"<kml><NetworkLink><Link><href>http://127.0.0.1:1/x.kml</href></Link></NetworkLink></kml>"
    assert code_of(imported, link).code == "no-features"


def test_only_null_geometries_are_no_map(imported):
    error = code_of(imported, makers.geojson(makers.feature(None, a=1), makers.feature(None, a=2)))
    assert error.code == "no-geometry"
    assert error.params["count"] == 2


def test_coordinates_that_cannot_be_on_earth_are_no_map(imported):
    error = code_of(
        imported,
        makers.geojson(makers.feature(makers.point(-1.29, 136.8)), makers.feature(makers.point(500000, 1))),
    )
    assert error.code == "coordinates-out-of-range"
    assert "-1.29 136.8" in error.params["example"]
    assert error.params["layer"] == "file"


def test_more_features_than_allowed_are_refused(imported):
    content = makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(11)))
    error = code_of(imported, content, caps=replace(AMPLE, features=10))
    assert (error.code, error.params) == ("too-many-features", {"found": 11, "limit": 10})


def test_more_features_than_allowed_are_refused_before_they_are_read_where_the_file_counts_them(
    imported, tmp_path
):
    error = code_of(imported, makers.zipped(makers.shapefile(tmp_path)), caps=replace(AMPLE, features=2))
    assert (error.code, error.params) == ("too-many-features", {"found": 3, "limit": 2})


def test_more_vertices_than_allowed_are_refused_while_they_are_read(geo, imported):
    before = geo.layer_tables()
    ring = [[n * 1e-3, n * 1e-3 % 7] for n in range(1000)]
    content = makers.geojson(*(makers.feature({"type": "LineString", "coordinates": ring}) for _ in range(3)))
    error = code_of(imported, content, caps=replace(AMPLE, vertices=2999))
    assert (error.code, error.params) == (
        "too-many-vertices",
        {"layer": "file", "found": 3000, "limit": 2999},
    )
    assert geo.layer_tables() == before


def test_more_bytes_than_a_table_may_have_are_refused_while_they_are_read(geo, imported):
    before = geo.layer_tables()
    content = makers.geojson(*(makers.feature(makers.point(1, 2), text="x" * 1000) for _ in range(3000)))
    error = code_of(imported, content, caps=replace(AMPLE, table_bytes=2 * 1024**2))
    assert (error.code, error.params) == (
        "table-too-big",
        {"layer": "file", "found": "3.0 MB", "limit": "2 MB"},
    )
    assert geo.layer_tables() == before


def test_what_other_layers_took_counts_too(geo, detected, readers):
    (layer,), _ = detected(makers.towns())
    with pytest.raises(errors.LoadError) as caught:
        load.load(
            layer,
            dsn=geo.loader,
            caps=Amount(10, 10, 10**6),
            max_columns=1500,
            taken=Amount(3, 9, 1000),
            readers=readers,
            progress=lambda far: None,
        )
    assert (caught.value.code, caught.value.params["found"]) == ("too-many-vertices", 12)


class Instead:
    """A reader whose batches are made here: what a parser should never let through."""

    def __init__(self, batch):
        self._batch = batch

    @contextlib.contextmanager
    def stream(self, *args, **kw):
        yield reader.Stream(iter([self._batch]), {}, lambda: None)


@pytest.mark.parametrize(
    ("shape", "name", "column"),
    [(shapely.to_wkb(shapely.Point(1, 2)), "N\0l", "name"), (b"no shape", "Null", "geom")],
)
def test_a_value_that_the_database_refuses_is_named(geo, detected, shape, name, column):
    (layer,), _ = detected(makers.geojson(makers.feature(makers.point(1, 2), name="x")))
    batch = pa.record_batch(
        {
            "fid": pa.array([0, 1]),
            "geometry": pa.array([None, shape], pa.binary()),
            "c1": pa.array(["fine", name], pa.string()),
        }
    )
    with pytest.raises(errors.LoadError) as caught:
        load.load(
            layer,
            dsn=geo.loader,
            caps=AMPLE,
            max_columns=1500,
            readers=Instead(batch),
            progress=lambda far: None,
        )
    error = caught.value
    assert (error.code, error.failure.kind) == ("value-refused", "permanent")
    assert (error.params["layer"], error.params["row"], error.params["column"]) == ("file", 2, column)


def geopackage(count: int) -> bytearray:
    """Features alone, no index: whatever is overwritten is theirs."""
    places = [shapely.Point(number / count, 1) for number in range(count)]
    names = np.array([f"name {number}" for number in range(count)], dtype=object)
    options = {"layer_options": {"SPATIAL_INDEX": "NO"}}
    return bytearray(build.single("GPKG", ".gpkg", geometries=places, fields={"name": names}, **options))


def test_features_that_a_damaged_file_has_lost_are_counted(imported):
    """SQLite stops at the page, and GDAL calls that the end."""
    content = geopackage(20_000)
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096 * 20] = b"\xff" * 4096 * 20
    result = imported(bytes(content), name="odd.gpkg")
    (notice,) = result.notices
    assert (notice.code, notice.limit) == ("features-missing", 20_000)
    assert notice.count == 20_000 - result.tables[0].row_count > 0


def test_the_limit_is_named_when_it_is_a_second_layer_that_passes_it(geo, detected, readers):
    """The layers of a file share the limit; 4 of 10 are left for the second one."""
    (layer,), _ = detected(makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(5))))
    with pytest.raises(errors.LoadError) as caught:
        load.load(
            layer,
            dsn=geo.loader,
            caps=replace(AMPLE, features=10),
            max_columns=1500,
            taken=Amount(features=6),
            readers=readers,
            progress=lambda far: None,
        )
    assert (caught.value.code, caught.value.params) == ("too-many-features", {"found": 11, "limit": 10})


def test_a_zip_with_a_way_out_is_refused(imported):
    content = makers.zipped({"../evil.geojson": makers.towns()})
    error = code_of(imported, content)
    assert (error.code, error.params["entry"]) == ("unsafe-zip", "../evil.geojson")


def test_a_zip_bomb_is_refused_before_it_fills_the_disk(imported, download):
    content = makers.zipped({"big.geojson": b" " * 50_000_000})
    assert code_of(imported, content, max_unpacked_bytes=10**9).code == "zip-bomb"


def test_a_zip_larger_than_the_cap_names_the_cap(imported):
    content = makers.zipped({"a.geojson": json.dumps(list(range(300_000))).encode()})
    error = code_of(imported, content, max_unpacked_bytes=1024**2)
    assert (error.code, error.params) == ("zip-too-big", {"limit": "1 MB", "found": "2.2 MB"})


def test_a_cut_off_zip_is_bad(imported, tmp_path):
    content = makers.zipped(makers.shapefile(tmp_path))
    assert code_of(imported, content[: len(content) // 2]).code == "bad-zip"


def test_a_zip_with_a_password_is_bad(imported):
    content = bytearray(makers.zipped({"a.geojson": makers.towns()}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in str(code_of(imported, bytes(content)))


def test_a_vrt_in_a_zip_named_like_data_is_not_read(imported):
    assert code_of(imported, makers.zipped({"roads.geojson": VRT})).code == "unsupported-format"


def test_a_failed_import_leaves_no_table(geo, imported):
    before = geo.layer_tables()
    bad = makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(11)))
    code_of(imported, bad, caps=replace(AMPLE, features=10))
    assert geo.layer_tables() == before


def test_a_map_of_nothing_leaves_no_table_once_discarded(geo, imported, resource_id):
    before = geo.layer_tables()
    code_of(imported, makers.geojson(makers.feature(None)), resource_id=resource_id, generation=3)
    assert publish.discard(resource_id=resource_id, generation=3, dsn=geo.loader) == 1
    assert geo.layer_tables() == before


def test_a_zip64_of_many_entries_is_refused(imported):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}", b"")
    assert code_of(imported, buffer.getvalue()).code == "zip-too-many-files"


def test_a_zip_of_a_thousand_broken_files_does_not_cost_a_thousand_tries(imported):
    content = makers.zipped({f"{number}.geojson": b'{"type": "FeatureCollection"' for number in range(1000)})
    assert code_of(imported, content, max_layers=3).code == "unreadable"


def test_a_table_without_places_is_unsupported_and_its_columns_are_named(imported):
    error = code_of(imported, b"name,population\nNairobi,4000000\n")
    assert (error.code, error.params) == ("no-coordinates", {"columns": "name, population"})


def test_a_column_that_its_publisher_names_wrongly_is_told(readers, download):
    file = replace(
        download(b"place,north,east\nA,1,2\n"), coordinates=Coordinates(latitude="nord", longitude="east")
    )
    with pytest.raises(errors.DetectError) as caught:
        detect.detect(
            file,
            folder=file.path.parent,
            max_unpacked_bytes=10**6,
            max_layers=1,
            formats=frozenset(FORMATS),
            readers=readers,
        )
    assert (caught.value.code, caught.value.params["name"]) == ("column-missing", "nord")


def test_a_table_of_codes_beside_the_data_is_not_missed(imported):
    content = makers.zipped({"codes.csv": b"code,name\n1,Nairobi\n", "towns.geojson": makers.towns()})
    assert imported(content).notices == ()


def test_why_data_is_not_drawn_is_said_before_what_a_table_lacks(imported):
    content = makers.zipped({"codes.csv": b"code,name\n1,Nairobi\n", "towns.geojson": makers.geojson()})
    assert code_of(imported, content).code == "no-features"
