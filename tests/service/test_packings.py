"""Each format in each packaging, from bytes to decoded tiles."""

from __future__ import annotations

import gzip

import makers
import pytest
import samples
import shapely

PACKINGS = {
    "bare": lambda content, name: content,
    "gz": lambda content, name: gzip.compress(content),
    "alone in a zip": lambda content, name: makers.zipped({f"a/b/{name}": content}),
    "gz in a zip": lambda content, name: makers.zipped({f"{name}.gz": gzip.compress(content)}),
    "zip in a gz": lambda content, name: gzip.compress(makers.zipped({name: content})),
}
ENDINGS = {"gz": ".gz", "alone in a zip": ".zip", "gz in a zip": ".zip", "zip in a gz": ".zip.gz"}


def assert_towns(result, layer=0):
    key = next(field.key for field in result.tile_sets[layer].fields if field.key.lower() == "name")
    assert sorted(result.rows(key, layer=layer)) == sorted((name,) for name in samples.NAMES)
    places = [
        tuple(round(value, 5) for value in shapely.get_coordinates(shapely.from_wkt(text))[0])
        for text in result.lonlat(layer)
    ]
    assert sorted(places) == sorted((round(lon, 5), round(lat, 5)) for lon, lat, _ in makers.TOWNS)
    assert len(result.tile(layer=layer)) == 3


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", samples.ONE_FILE)
def test_a_format_of_one_file_is_read_in_each_packaging(imported, tmp_path, kind, packing):
    ((name, content),) = samples.ONE_FILE[kind](tmp_path).items()
    result = imported(PACKINGS[packing](content, name), name=name + ENDINGS.get(packing, ""))
    assert_towns(result)
    assert [tile_set.name for tile_set in result.tile_sets] == ["waypoints" if kind == "GPX" else "towns"]
    assert result.notices == ()


@pytest.mark.parametrize("packing", ["zip", "zip in a gz"])
@pytest.mark.parametrize("kind", samples.SEVERAL_FILES)
def test_a_format_of_several_files_is_read_from_a_zip(imported, tmp_path, kind, packing):
    content = makers.zipped(samples.SEVERAL_FILES[kind](tmp_path))
    result = imported(gzip.compress(content) if packing == "zip in a gz" else content)
    assert_towns(result)
    assert [tile_set.name for tile_set in result.tile_sets] == ["towns"]


@pytest.mark.parametrize("kind", samples.SEVERAL_FILES)
def test_names_of_files_may_be_in_capital_letters_and_deep_in_folders(imported, tmp_path, kind):
    parts = samples.SEVERAL_FILES[kind](tmp_path)
    result = imported(
        makers.zipped({f"Data/Final (2)/{name.upper()}": content for name, content in parts.items()})
    )
    assert_towns(result)


def test_a_geodatabase_may_be_zipped_without_its_folder(imported, tmp_path):
    parts = samples.geodatabase(tmp_path)
    assert_towns(imported(makers.zipped({name.rpartition("/")[2]: raw for name, raw in parts.items()})))


def test_a_zip_may_hold_all_formats_at_once(imported, tmp_path):
    files = {}
    for number, make in enumerate([*samples.ONE_FILE.values(), *samples.SEVERAL_FILES.values()]):
        made = make(tmp_path / str(number))
        files |= {f"{number}/{name}": content for name, content in made.items()}
    result = imported(makers.zipped(files))
    assert len(result.tile_sets) == len({tile_set.name for tile_set in result.tile_sets}) == 14
    for layer in range(14):
        assert_towns(result, layer)


def test_layers_keep_their_ids_in_whatever_order_the_archive_has_them(detected, resource_id):
    files = {"north/roads.geojson": makers.towns(), "south/roads.geojson": makers.towns()}
    one, _ = detected(makers.zipped(files), resource_id=resource_id)
    other, _ = detected(makers.zipped(dict(reversed(files.items()))), resource_id=resource_id)
    assert [layer.name for layer in one] == ["roads (north)", "roads (south)"]
    assert {layer.name: layer.layer_id for layer in one} == {layer.name: layer.layer_id for layer in other}


def test_a_shapefile_beside_readmes_and_indexes_just_works(imported, tmp_path):
    litter = {
        "readme.txt": b"Towns of Kenya, as of 2026, by us.\nDo not use, please, for navigation.\n",
        "report.pdf": b"%PDF-1.7\n",
        "towns.shp.xml": b'<?xml version="1.0"?><metadata xmlns:gml="http://www.opengis.net/gml"/>',
        "towns.lyr": b"\xd0\xcf\x11\xe0",
        "towns.qpj": b"GEOGCS[]",
        "towns.qix": b"SQT\x01",
        "towns.sbn": b"\x00\x00\x27\x0a" + bytes(100),
        "towns.sld": b"<StyledLayerDescriptor/>",
        "page.html": b"<!DOCTYPE html><html></html>",
        "map.png": b"\x89PNG",
    }
    result = imported(makers.zipped({**litter, **samples.shapefile(tmp_path)}))
    assert_towns(result)
    assert result.notices == ()


def test_a_kmz_shows_all_its_files_and_doc_kml_first(imported):
    files = {
        "a.kml": makers.kml(("A", makers.placemark("a", 1, 2))),
        "styles.kml": makers.kml(("Styles", "")),
        "sub/b.kml": makers.kml(("B", makers.placemark("b", 1, 2))),
        "doc.kml": makers.kml(("Doc", makers.placemark("d", 1, 2))),
    }
    result = imported(makers.zipped(files), name="x.kmz")
    assert [tile_set.name for tile_set in result.tile_sets] == ["Doc", "A", "B"]
    assert result.notices == ()


def test_a_zip_may_hold_kmz_files(imported):
    kmz = makers.zipped({"doc.kml": makers.kml(("Towns", makers.town_placemarks()))})
    result = imported(makers.zipped({"north.kmz": kmz, "x/south.kmz": kmz}))
    assert [tile_set.name for tile_set in result.tile_sets] == ["Towns (north.kmz)", "Towns (south.kmz)"]
    assert_towns(result, 1)


def test_a_zip_in_a_zip_stays_packed_and_is_told(imported, tmp_path):
    inner = makers.zipped(samples.shapefile(tmp_path))
    result = imported(makers.zipped({"inner.zip": inner, "towns.geojson": makers.towns()}))
    assert [(notice.code, notice.example) for notice in result.notices] == [("layers-skipped", "inner.zip")]


def test_a_schema_beside_a_gml_is_not_needed(imported, tmp_path):
    schema = (
        b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:gml="http://www.opengis.net/gml/3.2"/>'
    )
    assert_towns(imported(makers.zipped({**samples.gml(tmp_path), "towns.xsd": schema})))


@pytest.mark.parametrize(
    ("lost", "named"), [([".shx"], ".shx"), ([".dbf"], ".dbf"), ([".shx", ".dbf", ".cpg"], ".shx, .dbf")]
)
def test_a_shapefile_without_index_or_table_is_drawn_and_told(imported, tmp_path, lost, named):
    parts = samples.shapefile(tmp_path)
    for ending in lost:
        del parts[f"towns{ending}"]
    result = imported(makers.zipped(parts))
    assert len(result.tile()) == 3
    assert [(notice.code, notice.layer, notice.example) for notice in result.notices] == [
        ("shapefile-parts-missing", "towns", named)
    ]
    assert len(result.tile_sets[0].fields) == (0 if ".dbf" in lost else 1)


@pytest.mark.parametrize("codec", ["WindowsCyrillic", "WindowsArabic"])
def test_a_mapinfo_file_says_its_charset(imported, tmp_path, codec):
    names, page = (["Київ"] * 3, "cp1251") if codec == "WindowsCyrillic" else (["صنعاء"] * 3, "cp1256")
    parts = samples.mapinfo_mif(tmp_path)
    parts["towns.mif"] = parts["towns.mif"].replace(b'"Neutral"', f'"{codec}"'.encode())
    parts["towns.mid"] = "".join(f'"{name}"\n' for name in names).encode(page)
    assert codec.encode() in parts["towns.mif"]
    result = imported(makers.zipped(parts))
    assert result.rows("name") == [(name,) for name in names]


@pytest.mark.parametrize("codec", ["windows-1251", "windows-1256", "gb18030", "shift_jis"])
@pytest.mark.parametrize("make", [samples.gpx, samples.gml])
def test_xml_in_an_encoding_that_parsers_do_not_know_is_read(imported, tmp_path, make, codec):
    name = {"windows-1251": "Київ", "windows-1256": "صنعاء"}.get(codec, "北京")
    ((file_name, content),) = make(tmp_path, codec, [name] * 3).items()
    result = imported(content, name=file_name)
    assert result.rows("name") == [(name,)] * 3
    assert result.codes == set()


@pytest.mark.parametrize("make", [samples.geojson, samples.geojson_lines, samples.topojson])
@pytest.mark.parametrize(("codec", "guess"), [("utf-16", None), ("utf-32-le", None), ("cp1251", "CP1251")])
def test_json_in_another_encoding_is_read_and_a_guess_is_told(imported, tmp_path, make, codec, guess):
    names = ["Новосибирск", "Санкт-Петербург", "Екатеринбург"]
    ((file_name, content),) = make(tmp_path).items()
    text = content.decode()
    for english, russian in zip(samples.NAMES, names, strict=True):
        text = text.replace(english, russian)
    result = imported(text.encode(codec), name=file_name)
    assert result.rows("name") == [(name,) for name in names]
    guesses = [notice.example for notice in result.notices if notice.code == "encoding-guessed"]
    assert guesses == ([guess] if guess else [])


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", samples.TABULAR)
def test_a_table_is_read_in_each_packaging(imported, tmp_path, kind, packing):
    ((name, content),) = samples.TABULAR[kind](tmp_path).items()
    result = imported(PACKINGS[packing](content, name), name=name + ENDINGS.get(packing, ""))
    assert_towns(result)


@pytest.mark.parametrize(
    ("codec", "guess", "names"),
    [
        ("cp1256", "CP1256", ["القاهرة المحافظة", "الإسكندرية القديمة", "صنعاء والخرطوم"]),
        ("koi8-r", "KOI8-R", ["Новосибирск область", "Санкт-Петербург", "Екатеринбург"]),
        ("gb18030", "GB18030", ["北京市的地图", "上海市人口", "广东省面积"]),
        ("cp1252", "CP1252", ["Côte d'Ivoire", "São Tomé e Príncipe", "Curaçao, déjà"]),
        ("utf-16", None, ["Київ", "صنعاء", "北京"]),
        ("utf-8-sig", None, ["Київ", "صنعاء", "北京"]),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_in_another_encoding_is_read_and_a_guess_is_told(imported, codec, guess, names, separator):
    rows = [["name", "latitude", "longitude"], *([f'"{name}"', "1.5", "2.5"] for name in names)]
    text = "".join(separator.join(row) + "\r\n" for row in rows)
    result = imported(text.encode(codec), name="towns.csv")
    assert result.rows("name") == [(name,) for name in names]
    guesses = [notice.example for notice in result.notices if notice.code == "encoding-guessed"]
    assert guesses == ([guess] if guess else [])
