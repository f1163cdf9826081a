"""What publishers upload by mistake or on purpose: each ends in its own code, and nothing stays behind."""

from __future__ import annotations

import io
import json
import zipfile

import makers
import pytest

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import load, publish

VRT = b'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'

NOT_GEODATA = {
    "a csv": b"name,population\nNairobi,4000000\n",
    "a pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "a page": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "plain json": b'{"result": {"records": [1, 2, 3]}}',
    "a list": b"[1, 2, 3]",
    "topojson": b'{"type":"Topology","objects":{},"arcs":[]}',
    "xml": b'<?xml version="1.0"?><gpx version="1.1"></gpx>',
    "a vrt": VRT,
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


def test_a_zip_of_shapefile_parts_without_the_shp_is_unsupported(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    del parts["towns.shp"]
    assert code_of(imported, makers.zipped(parts)).code == "zip-without-layers"


def test_a_zip_inside_a_zip_is_not_opened(imported, tmp_path):
    inner = makers.zipped(makers.shapefile(tmp_path))
    assert code_of(imported, makers.zipped({"inner.zip": inner})).code == "zip-without-layers"


@pytest.mark.parametrize("suffix", [".shx", ".dbf"])
def test_a_shapefile_without_a_needed_part_is_incomplete(imported, tmp_path, suffix):
    parts = makers.shapefile(tmp_path)
    del parts[f"towns{suffix}"]
    error = code_of(imported, makers.zipped(parts))
    assert error.code == "shapefile-incomplete"
    assert error.params == {"name": "towns.shp", "missing": suffix}


def test_a_bare_shp_is_incomplete(imported, tmp_path):
    error = code_of(imported, makers.shapefile(tmp_path)["towns.shp"], name="towns.shp")
    assert error.code == "shapefile-incomplete"


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
    assert code_of(imported, makers.zipped(parts)).code == "unreadable"


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


def test_more_features_than_allowed_are_refused(imported):
    content = makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(11)))
    error = code_of(imported, content, max_features=10)
    assert (error.code, error.params) == ("too-many-features", {"limit": 10})


def test_the_limit_is_named_when_it_is_a_second_layer_that_passes_it(geo, detected, readers):
    """The layers of a file share the limit; 4 of 10 are left for the second one."""
    (layer,), _ = detected(makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(5))))
    with pytest.raises(errors.LoadError) as caught:
        load.load(
            layer, dsn=geo.loader, max_features=10, taken=6, readers=readers, progress=lambda share: None
        )
    assert (caught.value.code, caught.value.params) == ("too-many-features", {"limit": 10})


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
    assert (error.code, error.params["limit"]) == ("zip-too-big", "1 MB")


def test_a_cut_off_zip_is_bad(imported, tmp_path):
    content = makers.zipped(makers.shapefile(tmp_path))
    assert code_of(imported, content[: len(content) // 2]).code == "bad-zip"


def test_a_zip_with_a_password_is_bad(imported):
    content = bytearray(makers.zipped({"a.geojson": makers.towns()}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in str(code_of(imported, bytes(content)))


def test_a_vrt_in_a_zip_named_like_data_is_not_read(imported):
    assert code_of(imported, makers.zipped({"roads.geojson": VRT})).code == "zip-without-layers"


def test_a_failed_import_leaves_no_table(geo, imported):
    before = geo.layer_tables()
    bad = makers.geojson(*(makers.feature(makers.point(1, 2)) for _ in range(11)))
    code_of(imported, bad, max_features=10)
    assert geo.layer_tables() == before


def test_a_map_of_nothing_leaves_no_table_once_discarded(geo, imported):
    before = geo.layer_tables()
    code_of(imported, makers.geojson(makers.feature(None)), resource_id="null-island", generation=3)
    assert publish.discard(resource_id="null-island", generation=3, dsn=geo.loader) == 1
    assert geo.layer_tables() == before


def test_a_zip64_of_many_entries_is_refused(imported):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}", b"")
    assert code_of(imported, buffer.getvalue()).code == "unsafe-zip"


def test_a_zip_of_a_thousand_broken_files_does_not_cost_a_thousand_tries(imported):
    content = makers.zipped({f"{number}.geojson": b'{"type": "FeatureCollection"' for number in range(1000)})
    assert code_of(imported, content, max_layers=3).code == "unreadable"
