"""The four formats, from bytes to decoded tiles."""

from __future__ import annotations

import datetime as dt
import json

import makers
import pytest
import shapely

from ckanext.hdxjobs.geopreview.values import Notice

TOWN_NAMES = [(name,) for _, _, name in makers.TOWNS]
TOWN_POINTS = [f"POINT({lon:.7g} {lat:.7g})" for lon, lat, _ in makers.TOWNS]


def numbers(wkt):
    return [round(value, 6) for value in shapely.get_coordinates(shapely.from_wkt(wkt)).ravel().tolist()]


def assert_towns(result):
    assert [numbers(text) for text in result.lonlat()] == [[lon, lat] for lon, lat, _ in makers.TOWNS]
    assert {item["properties"]["name"] for item in result.tile()} == {name for _, _, name in makers.TOWNS}


def test_a_geojson_becomes_tiles(imported):
    assert_towns(imported(makers.towns(), name="towns.geojson"))


def test_a_kml_becomes_tiles(imported):
    result = imported(makers.kml(("Towns", makers.town_placemarks())), name="towns.kml")
    assert {item["properties"]["Name"] for item in result.tile()} == {"Nairobi", "Thika", "Nakuru"}
    assert {item["properties"]["kind"] for item in result.tile()} == {"town"}


def test_a_kmz_becomes_tiles(imported):
    kmz = makers.zipped(
        {"doc.kml": makers.kml(("Towns", makers.town_placemarks())), "files/icon.png": b"\x89PNG"}
    )
    result = imported(kmz, name="towns.kmz")
    assert {item["properties"]["Name"] for item in result.tile()} == {"Nairobi", "Thika", "Nakuru"}


def test_a_zipped_shapefile_becomes_tiles(imported, tmp_path):
    assert_towns(imported(makers.zipped(makers.shapefile(tmp_path)), name="towns.zip"))


def test_a_shapefile_deep_in_folders_with_capital_letters_becomes_tiles(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    shouting = {f"Data/2026/Final (2)/{name.upper()}": content for name, content in parts.items()}
    assert_towns(imported(makers.zipped(shouting)))


def test_litter_of_macos_in_a_zip_is_ignored(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    litter = {f"__MACOSX/._{name}": b"\0\5\x16\7" for name in parts}
    assert len(imported(makers.zipped({**parts, **litter, ".DS_Store": b"x"})).tile_sets) == 1


@pytest.mark.parametrize("name", ["data.csv", "data", "data.kml", "data.zip"])
def test_the_content_decides_whatever_the_name_is(imported, name):
    assert len(imported(makers.towns(), name=name).tile()) == 3


def test_a_geojson_inside_a_zip_becomes_tiles(imported):
    result = imported(makers.zipped({"x/towns.geojson": makers.towns()}))
    assert [tile_set.name for tile_set in result.tile_sets] == ["towns"]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Point", "coordinates": [36.5, -1.5]},
        {
            "type": "Feature",
            "properties": {"a": 1},
            "geometry": {"type": "Point", "coordinates": [36.5, -1.5]},
        },
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [36.5, -1.5]}]},
    ],
)
def test_a_bare_feature_or_geometry_is_a_layer_of_one(imported, document):
    assert len(imported(json.dumps(document).encode()).tile()) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_geojson_with_a_byte_order_mark_is_read(imported, encoding):
    assert_towns(imported(makers.towns().decode().encode(encoding)))


def test_members_may_come_in_any_order(imported):
    document = json.loads(makers.towns())
    text = json.dumps({"features": document["features"], "type": "FeatureCollection"})
    assert_towns(imported(text.encode()))


def test_each_type_of_attribute_keeps_its_value(imported):
    first = {
        "text": "Ünïcode 漢字 عربي 🗺",
        "integer": 42,
        "big": 9007199254740993,
        "real": 0.1,
        "yes": True,
        "day": "2026-02-28",
        "moment": "2026-02-28T23:59:58Z",
        "clock": "23:59:58",
        "nested": {"a": [1, {"b": None}]},
        "list": ["x", "y"],
        "nothing": None,
    }
    result = imported(
        makers.geojson(makers.feature(makers.point(1, 2), **first), makers.feature(makers.point(1, 2)))
    )
    assert {field.name: field.type for field in result.tile_sets[0].fields} == {
        "text": "string",
        "integer": "integer",
        "big": "integer",
        "real": "number",
        "yes": "boolean",
        "day": "date",
        "moment": "datetime",
        "clock": "time",
        "nested": "json",
        "list": "json",
        "nothing": "string",
    }
    row, empty = result.rows(*first)
    assert row == (
        first["text"],
        42,
        9007199254740993,
        0.1,
        True,
        dt.date(2026, 2, 28),
        dt.datetime(2026, 2, 28, 23, 59, 58, tzinfo=dt.timezone.utc),
        dt.time(23, 59, 58),
        first["nested"],
        first["list"],
        None,
    )
    assert empty == (None,) * len(first)


def test_dates_and_json_are_texts_in_tiles(imported):
    values = {
        "day": "2026-02-28",
        "moment": "2026-02-28T23:59:58Z",
        "clock": "23:59:58",
        "nested": {"a": 1},
        "yes": False,
    }
    (item,) = imported(makers.geojson(makers.feature(makers.point(1, 2), **values))).tile()
    assert item["properties"]["day"] == "2026-02-28"
    assert item["properties"]["moment"].startswith("2026-02-28T23:59:58")
    assert item["properties"]["clock"] == "23:59:58"
    assert json.loads(item["properties"]["nested"]) == {"a": 1}
    assert item["properties"]["yes"] is False


def test_texts_that_postgresql_refuses_are_cleaned(imported):
    odd = b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},'
    odd += b'"properties":{"nul":"a\\u0000b","lone":"x\\ud800y","bad":"caf\xe9","json":{"nul":"\\u0000","lone":"\\ud800","big":1e300}}}]}'
    assert len(imported(odd).tile()) == 1


def test_feature_ids_of_the_file_are_kept(imported):
    numbered = [{**makers.feature(makers.point(1, 2)), "id": number} for number in (7, 3)]
    assert [item["id"] for item in imported(makers.geojson(*numbered)).tile()] == [3, 7]


def test_mixed_geometry_types_stay_in_one_layer(imported):
    line = {"type": "LineString", "coordinates": [[0, 0], [20, 20]]}
    area = {"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [20, 20], [0, 0]]]}
    result = imported(makers.geojson(*(makers.feature(shape) for shape in (makers.point(1, 2), line, area))))
    assert [item["geometry"]["type"] for item in result.tile()] == ["Point", "LineString", "Polygon"]
    assert result.tile_sets[0].geometry_type == "Geometry"


def test_a_type_and_its_multi_type_are_called_by_the_multi_type(imported):
    area = [[[0, 0], [20, 0], [20, 20], [0, 0]]]
    shapes = ({"type": "Polygon", "coordinates": area}, {"type": "MultiPolygon", "coordinates": [area]})
    result = imported(makers.geojson(*map(makers.feature, shapes)))
    assert result.tile_sets[0].geometry_type == "MultiPolygon"


def test_heights_are_dropped_and_told(imported):
    high = {"type": "Point", "coordinates": [1, 2, 3000]}
    result = imported(makers.geojson(makers.feature(high)))
    assert result.lonlat() == ["POINT(1 2)"]
    assert "z-dropped" in result.codes


def test_open_rings_are_closed_and_counted(imported):
    unclosed = {"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [20, 20]]]}
    result = imported(makers.geojson(makers.feature(unclosed), makers.feature(makers.point(1, 2))))
    assert len(result.tile()) == 2


def test_features_without_geometry_are_kept_and_counted(imported):
    empty = {"type": "Point", "coordinates": []}
    result = imported(
        makers.geojson(makers.feature(makers.point(1, 2)), makers.feature(None), makers.feature(empty))
    )
    (notice,) = result.notices
    assert (notice.code, notice.count) == ("no-geometry", 2)
    assert result.tables[0].row_count == 3
    assert result.tables[0].drawable_count == 1


def test_features_that_cannot_be_on_earth_are_dropped_and_counted(imported):
    result = imported(
        makers.geojson(makers.feature(makers.point(1, 2)), makers.feature(makers.point(500000, 9000000)))
    )
    (notice,) = result.notices
    assert (notice.code, notice.count, notice.example) == ("out-of-range", 1, "feature 1 at 500000 9000000")
    assert result.tile_sets[0].bbox_lonlat == (1, 2, 1, 2)


def test_a_shape_across_the_antimeridian_is_kept(imported):
    fiji = {"type": "Polygon", "coordinates": [[[177, -19], [183, -19], [183, -16], [177, -16], [177, -19]]]}
    result = imported(makers.geojson(makers.feature(fiji)))
    assert result.tables[0].drawable_count == 1


def test_the_poles_lie_on_the_edge_of_the_map(imported):
    antarctica = {
        "type": "Polygon",
        "coordinates": [[[-180, -90], [180, -90], [180, -70], [-180, -70], [-180, -90]]],
    }
    result = imported(makers.geojson(makers.feature(antarctica)))
    assert len(result.tile()) == 1
    assert result.tile_sets[0].bbox_lonlat == (-180, -90, 180, -70)


def test_folders_of_a_kml_are_layers(imported):
    result = imported(
        makers.kml(
            ("Wells", makers.placemark("w", 1, 2)), ("Empty", ""), ("Camps", makers.placemark("c", 3, 4))
        )
    )
    assert [tile_set.name for tile_set in result.tile_sets] == ["Wells", "Camps"]
    assert [item["properties"]["Name"] for item in result.tile(layer=1)] == ["c"]


def test_several_shapefiles_in_a_zip_are_layers(imported, tmp_path):
    parts = {
        **{f"a/{name}": content for name, content in makers.shapefile(tmp_path / "a", stem="roads").items()},
        **{f"b/{name}": content for name, content in makers.shapefile(tmp_path / "b", stem="roads").items()},
    }
    result = imported(makers.zipped(parts))
    assert [tile_set.name for tile_set in result.tile_sets] == ["roads (a)", "roads (b)"]
    assert len({tile_set.layer_id for tile_set in result.tile_sets}) == 2


def test_one_bad_shapefile_of_two_is_left_out_and_told(imported, tmp_path):
    good = makers.shapefile(tmp_path / "a", stem="good")
    bad = makers.shapefile(tmp_path / "b", stem="bad")
    bad["bad.dbf"] = bad["bad.dbf"][:-20]
    result = imported(makers.zipped({**bad, **good}))
    assert [tile_set.name for tile_set in result.tile_sets] == ["good"]
    (notice,) = result.notices
    assert (notice.code, notice.count, notice.example) == ("layers-skipped", 1, "bad.shp")


def test_layers_beyond_the_cap_are_left_out_and_told(detected):
    content = makers.kml(*((f"F{number}", makers.placemark("p", 1, 2)) for number in range(4)))
    layers, notices = detected(content, max_layers=3)
    assert len(layers) == 3
    assert [(notice.code, notice.example) for notice in notices] == [("layers-skipped", "F3")]


@pytest.mark.parametrize("crs", ["EPSG:32737", "EPSG:3857", "EPSG:21037", "EPSG:4326", "ESRI:102022"])
def test_a_projected_shapefile_lands_where_it_belongs(imported, tmp_path, crs):
    import pyproj

    move = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    places = shapely.points([move.transform(lon, lat) for lon, lat, _ in makers.TOWNS])
    result = imported(makers.zipped(makers.shapefile(tmp_path, geometries=places, crs=crs)))
    for text, (lon, lat, _) in zip(result.lonlat(), makers.TOWNS, strict=True):
        assert numbers(text) == pytest.approx([lon, lat], abs=2e-5)
    assert result.tile_sets[0].source_crs == crs


def test_an_old_geojson_crs_member_is_obeyed(imported):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32737"}}
    result = imported(makers.geojson(makers.feature(makers.point(257000, 9857000)), crs=crs))
    assert numbers(result.lonlat()[0]) == pytest.approx([36.816, -1.293], abs=0.01)
    assert result.tile_sets[0].source_crs == "EPSG:32737"


def test_a_shapefile_without_prj_in_degrees_is_taken_for_wgs84(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    del parts["towns.prj"]
    result = imported(makers.zipped(parts))
    assert_towns(result)
    assert result.codes == {"crs-assumed"}


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("cp1251", "Київ Одеса Харків Львів"),
        ("cp1256", "القاهرة والإسكندرية"),
        ("gb18030", "北京市和上海市的地图"),
    ],
)
def test_a_cpg_file_tells_the_encoding(imported, tmp_path, codec, name):
    parts = makers.shapefile(tmp_path)
    parts["towns.dbf"] = makers.dbf([name.encode(codec)] * 3)
    parts["towns.cpg"] = codec.removeprefix("cp").encode()
    result = imported(makers.zipped(parts))
    assert result.rows("NAME") == [(name,)] * 3
    assert "encoding-guessed" not in result.codes


def test_the_language_byte_of_the_dbf_tells_the_encoding(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    parts["towns.dbf"] = makers.dbf(["Київ".encode("cp1251")] * 3, language=0xC9)
    del parts["towns.cpg"]
    assert imported(makers.zipped(parts)).rows("NAME") == [("Київ",)] * 3


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        ("utf-8", ["Київ", "São Tomé", "北京"]),
        ("cp1251", ["Новосибирск область", "Київ і Одеса", "Харьков и Полтава"]),
        ("cp1252", ["Côte d'Ivoire", "São Tomé e Príncipe", "Curaçao, déjà"]),
    ],
)
def test_an_encoding_that_nothing_tells_is_guessed_and_told(imported, tmp_path, codec, names):
    parts = makers.shapefile(tmp_path)
    parts["towns.dbf"] = makers.dbf([name.encode(codec) for name in names], language=0x57)
    del parts["towns.cpg"]
    result = imported(makers.zipped(parts))
    assert result.rows("NAME") == [(name,) for name in names]
    assert "encoding-guessed" in result.codes


def test_field_names_of_any_kind_survive(imported):
    names = [
        "",
        "hdx_geom",
        "hdx_fid",
        "fid",
        "geom",
        "select",
        'a"b',
        "x; DROP TABLE y",
        "%s {0}",
        "é" * 40,
        "é" * 40 + "!",
        "🗺",
        "c1",
    ]
    result = imported(
        makers.geojson(
            makers.feature(makers.point(1, 2), **{name: index for index, name in enumerate(names)})
        )
    )
    fields = result.tile_sets[0].fields
    assert [field.name for field in fields][1:] == names[1:]
    assert len({field.key for field in fields}) == len(names)
    (item,) = result.tile()
    assert sorted(item["properties"].values()) == list(range(len(names)))


def test_columns_beyond_what_a_row_holds_are_left_out_and_told(imported):
    wide = {f"column_{number}": float(number) for number in range(2000)}
    result = imported(makers.geojson(makers.feature(makers.point(1, 2), **wide)))
    shown = len(result.tile_sets[0].fields)
    assert result.notices == (
        Notice("too-many-columns", layer="file", count=2000, example=f"column_{shown}", limit=shown),
    )


def test_columns_beyond_the_cap_are_left_out_and_told(imported):
    features = (makers.feature(makers.point(1, 2), a=1, b=2, c=3, d=4) for _ in range(3))
    result = imported(makers.geojson(*features), max_columns=2)
    assert [field.name for field in result.tile_sets[0].fields] == ["a", "b"]
    assert result.rows("a", "b") == [(1, 2)] * 3
    assert result.notices == (Notice("too-many-columns", layer="file", count=4, example="c", limit=2),)


def test_an_empty_text_and_no_text_are_different(imported):
    result = imported(
        makers.geojson(makers.feature(makers.point(1, 2), a=""), makers.feature(makers.point(1, 2), a=None))
    )
    assert result.rows("a") == [("",), (None,)]


def test_a_kml_without_names_is_called_like_its_file(imported):
    place = makers.placemark("x", 1, 2)
    content = f'<kml xmlns="http://www.opengis.net/kml/2.2">{place}</kml>'.encode()
    assert imported(content, name="wells.kml").tile_sets[0].name == "wells"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_kml_in_any_encoding_it_declares_is_read(imported, encoding):
    text = makers.kml(("Café", makers.placemark("Zoë", 1, 2))).decode().replace("UTF-8", encoding.upper())
    result = imported(text.encode(encoding))
    assert result.tile_sets[0].name == "Café"
    assert result.rows("Name") == [("Zoë",)]


def test_shapefiles_whose_names_differ_in_letter_case_only_keep_their_own_parts(imported, tmp_path):
    upper = makers.shapefile(tmp_path / "a", stem="ROADS", fields={"a": ["x"] * 3})
    lower = makers.shapefile(tmp_path / "b", stem="roads", fields={"b": ["y"] * 3})
    result = imported(makers.zipped({**upper, **lower}))
    assert [result.rows("a"), result.rows("b", layer=1)] == [[("x",)] * 3, [("y",)] * 3]


def test_deleted_rows_of_a_shapefile_stay_deleted(imported, tmp_path):
    parts = makers.shapefile(tmp_path)
    content = bytearray(parts["towns.dbf"])
    content[int.from_bytes(content[8:10], "little")] = ord("*")
    result = imported(makers.zipped({**parts, "towns.dbf": bytes(content)}))
    assert result.rows("name") == [("Thika",), ("Nakuru",)]


def test_rings_and_lines_too_short_to_be_any_do_not_stop_the_rest(imported):
    shapes = (
        {"type": "Polygon", "coordinates": [[[0, 0], [20, 20]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [20, 20], [0, 0]]]},
        {
            "type": "MultiPolygon",
            "coordinates": [[[[0, 0], [20, 20], [0, 0]]], [[[0, 0], [9, 9], [9, 0], [0, 0]]]],
        },
        {"type": "LineString", "coordinates": [[3, 3]]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Point", "coordinates": [1]},
        {"type": "Point", "coordinates": ["a", "b"]},
        makers.point(1, 2),
    )
    result = imported(makers.geojson(*map(makers.feature, shapes)))
    assert result.tables[0].row_count == len(shapes)
    assert {item["id"] for item in result.tile()} == {0, 1, 2, 3, 7}
    assert result.codes == {"geometry-repaired", "no-geometry"}


def test_fields_called_like_gdals_own_are_kept(imported):
    names = {"OGC_FID": 5, "ogc_fid": 6, "wkb_geometry": 7, "geom": 8}
    result = imported(makers.geojson(makers.feature(makers.point(1, 2), **names)))
    assert result.rows(*names) == [(5, 6, 7, 8)]
