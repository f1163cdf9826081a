"""The pure rules: candidates, keys, names, tiles."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview import rules

ALL = rules.chosen_formats(())


@pytest.mark.parametrize(
    ("declared", "name", "url", "expected"),
    [
        ("GeoJSON", "", "", True),
        ("kml", "", "", True),
        ("KMZ", "", "", True),
        ("SHP", "", "", True),
        ("Zipped Shapefile", "", "", True),
        (".geojson", "", "", True),
        ("ZIP", "", "", True),
        ("", "roads.geojson", "", True),
        ("", "", "https://example.org/a/roads.shp.zip?x=1", True),
        ("", "", "https://example.org/a/ROADS.KML", True),
        ("GeoJSON ", "", "", True),
        ("geo-json", "", "", True),
        ("zipped shapefile", "", "", True),
        ("shp (zip)", "", "", True),
        ("SHP/KML", "", "", True),
        ("Shapefiles", "", "", True),
        ("file gdb", "", "", True),
        ("text/csv", "", "", True),
        ("GZIP", "", "", True),
        ("JSON", "roads.geojson", "", True),
        ("JSON", "roads.json", "", False),
        ("XML", "", "https://example.org/roads.gml", True),
        ("", "roads.geojson.gz", "", True),
        ("PDF", "roads.geojson", "https://example.org/roads.geojson", False),
        ("web map", "", "", False),
        ("", "roads", "https://example.org/roads", False),
        ("", "", "", False),
    ],
)
def test_the_format_decides_then_the_name_then_the_link(declared, name, url, expected):
    assert rules.is_candidate(declared_format=declared, name=name, url=url, formats=ALL) is expected


def test_a_format_that_is_switched_off_makes_no_candidate():
    on = rules.chosen_formats(["geojson", "KML"])
    assert on == {"GeoJSON", "KML"}
    assert rules.is_candidate(declared_format="kmz", name="", url="", formats=on)
    assert not rules.is_candidate(declared_format="CSV", name="", url="", formats=on)
    assert not rules.is_candidate(declared_format="", name="a.csv", url="", formats=on)
    assert rules.is_candidate(declared_format="zip", name="", url="", formats=on)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([("roads", "north/roads.shp"), ("roads", "south/roads.shp")], ["roads (north)", "roads (south)"]),
        ([("roads", "roads.shp"), ("roads", "roads.kml")], ["roads (roads.shp)", "roads (roads.kml)"]),
        ([("a", "x/1/a.shp"), ("a", "y/1/a.shp")], ["a (x/1/a.shp)", "a (y/1/a.shp)"]),
        ([("a", "x.kml"), ("a", "x.kml")], ["a", "a (2)"]),
        ([("a", "a.gdb"), ("a", "deep/b.gdb")], ["a", "a (deep)"]),
        ([("a", "x/a.shp"), ("b", "y/b.shp")], ["a", "b"]),
    ],
)
def test_layers_of_one_name_are_told_apart_by_where_they_are(layers, expected):
    assert rules.layer_names(layers) == expected
    assert sorted(rules.layer_names(layers[::-1])) == sorted(expected)


def test_the_same_file_has_the_same_fingerprint_and_another_has_not():
    resource = {"url": "http://x/a.geojson", "size": 10, "name": "A"}
    assert rules.fingerprint(resource) == rules.fingerprint({**resource, "name": "B", "position": 3})
    assert rules.fingerprint(resource) != rules.fingerprint({**resource, "size": 11})


def test_layer_ids_depend_on_resource_and_name_only():
    assert rules.layer_id("r", "a") == rules.layer_id("r", "a")
    assert len({rules.layer_id("r", "a"), rules.layer_id("r", ""), rules.layer_id("q", "a")}) == 3


def keys(*names):
    return [field.key for field in rules.make_fields((name, "string") for name in names)]


def test_plain_names_are_keys_as_they_are():
    assert keys("name", "Name", "väter", "a b", "select", '"') == [
        "name",
        "Name",
        "väter",
        "a b",
        "select",
        '"',
    ]


def test_equal_names_are_numbered():
    assert keys("a", "a", "a_2", "a") == ["a", "a_2", "a_2_2", "a_3"]


def test_names_that_are_equal_in_63_bytes_differ_as_keys():
    long = "é" * 40
    first, second = keys(long + "1", long + "2")
    assert first != second
    assert len(first.encode()) <= 63
    assert len(second.encode()) <= 63


def test_names_that_tiles_need_are_numbered():
    assert keys("hdx_fid", "hdx_geom") == ["hdx_fid_2", "hdx_geom_2"]


def test_an_empty_name_gets_one():
    (field,) = rules.make_fields([("", "string")])
    assert (field.name, field.key, field.column) == ("field_1", "field_1", "c1")


@pytest.mark.parametrize("name", ["a\0b", "x\ud800y", "\0"])
def test_names_that_postgresql_cannot_hold_are_cleaned(name):
    (key,) = keys(name)
    assert "\0" not in key
    key.encode()


def test_two_thousand_equal_names_get_two_thousand_keys():
    assert len(set(keys(*["x" * 100] * 2000))) == 2000


def test_layer_names_are_made_unique():
    assert rules.unique_names(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


@pytest.mark.parametrize(("z", "x", "y"), [(0, 0, 0), (1, 1, 1), (24, 2**24 - 1, 0)])
def test_tiles_of_the_grid_exist(z, x, y):
    assert rules.is_tile(z, x, y)


@pytest.mark.parametrize(
    ("z", "x", "y"), [(-1, 0, 0), (0, 0, 1), (1, 2, 0), (3, -1, 0), (25, 0, 0), (10**9, 0, 0)]
)
def test_tiles_beside_the_grid_do_not_exist(z, x, y):
    assert not rules.is_tile(z, x, y)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 kB"),
        (1536, "1.5 kB"),
        (314572800, "300 MB"),
        (2**31, "2 GB"),
    ],
)
def test_sizes_read_like_people_write_them(count, text):
    assert rules.size_text(count) == text


def test_a_small_site_is_sharper_than_a_country():
    assert rules.max_zoom((36.8, -1.3, 36.81, -1.29)) > rules.max_zoom((33, -5, 42, 5))
    assert rules.max_zoom(None) == 0


@pytest.mark.parametrize(("detail_m", "zoom"), [(50_000, 6), (1_000, 8), (100, 11), (10, 14), (0.01, 16)])
def test_lines_and_areas_are_served_as_deep_as_their_detail_goes(detail_m, zoom):
    assert rules.max_zoom((0, 0, 40, 40), detail_m) == zoom


def test_a_name_of_nothing_but_a_nul_is_no_name() -> None:
    assert [field.key for field in rules.make_fields([("\0", "string")])] == ["field_1"]


def test_thousands_of_twins_get_keys_of_their_own():
    fields = rules.make_fields(("name", "string") for _ in range(20_000))
    assert fields[-1].key == "name_20000"
    assert len({field.key for field in fields}) == 20_000
