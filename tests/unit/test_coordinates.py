"""Which columns of a table are found to say where its rows are."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import shapely

from ckanext.hdxjobs.geopreview import coordinates, tabular
from ckanext.hdxjobs.geopreview.values import Coordinates

NOTHING = Coordinates()


def found(names, samples=None, named=NOTHING):
    return coordinates.find(names, samples or [[] for _ in names], named)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("lat", "lon"), ("Lat", "Lng"), ("LAT", "LONG"), ("latitude", "longitude"), ("Latitude", "Longitude"), ("LATITUDE", "LONGITUDE"),
        ("lat.", "lon."), (" lat ", " lon "), ("lat_dd", "lon_dd"), ("LATITUDE_DD", "LONGITUDE_DD"), ("gps_lat", "gps_lon"),
        ("_gps_latitude", "_gps_longitude"), ("GPS Latitude", "GPS Longitude"), ("gpsLatitude", "gpsLongitude"),
        ("decimalLatitude", "decimalLongitude"), ("latitud", "longitud"), ("Latitude (degrés)", "Longitude (degrés)"),
        ("latitudine", "longitudine"), ("Breite", "Länge"), ("Breitengrad", "Längengrad"), ("breitengrad", "laengengrad"),
        ("szerokość", "długość"), ("Enlem", "Boylam"), ("lintang", "bujur"), ("широта", "долгота"), ("Широта", "Долгота"),
        ("خط العرض", "خط الطول"), ("دائرة العرض", "خط الطول"), ("纬度", "经度"), ("緯度", "經度"), ("위도", "경도"),
        ("lat_wgs84", "lon_wgs84"), ("wgs84_lat", "wgs84_long"), ("latitude_deg", "longitude_deg"), ("lat_deg", "lng_deg"),
        ("site_latitude", "site_longitude"), ("point.lat", "point.lon"), ("geo:lat", "geo:long"), ("stop_lat", "stop_lon"),
        ("y", "x"), ("Y", "X"), ("ycoord", "xcoord"), ("Y_COORD", "X_COORD"), ("coord_y", "coord_x"), ("point_y", "point_x"),
        ("POINT_Y", "POINT_X"), ("y_wgs84", "x_wgs84"), ("Northing", "Easting"), ("norte", "este"), ("CentroidY", "CentroidX"),
        ("LATDD", "LONDD"), ("latdec", "londec"), ("Latitude N", "Longitude E"), ("LATITUDE(Y)", "LONGITUDE(X)"), ("latitudes", "longitudes"),
        ("Lat (N)", "Lon (E)"), ("hq_lat", "hq_lng"), ("Leveysaste", "Pituusaste"), ("Breddegrad", "Lengdegrad"), ("अक्षांश", "देशांतर"),
    ],
)  # fmt: skip
def test_a_pair_is_found_by_its_names(latitude, longitude):
    pair = found(["name", longitude, "population", latitude])

    assert (pair.latitude, pair.longitude) == (3, 1)


@pytest.mark.parametrize(
    "names",
    [
        ["name", "population"], ["lat"], ["longitude"], ["long_name", "short_name"], ["x"], ["platform", "salon"], ["latest", "along"],
        ["location", "coordinates"], ["relation", "balloon"], ["geometry", "wkt"],
    ],
)  # fmt: skip
def test_nothing_is_found_where_no_name_says_so(names):
    assert found(names) is None


def test_the_plainest_of_several_pairs_is_taken():
    pair = found(["from_lat", "from_lon", "lat", "lon"])

    assert (pair.latitude, pair.longitude) == (2, 3)


def test_a_pair_has_the_same_other_words():
    pair = found(["start_lat", "end_lon", "start_lon"])

    assert (pair.latitude, pair.longitude) == (0, 2)


def test_a_name_that_says_both_words_is_no_pair_of_its_own():
    pair = found(["lat_lon", "latitude_of_site", "lon"])

    assert (pair.latitude, pair.longitude) == (0, 2)
    assert found(["lat_lon"]) is None


def test_thousands_of_pairs_are_no_burden():
    pair = found(["a_lat", "b_lon"] * 20_000)

    assert (pair.latitude, pair.longitude) == (0, 1)


def test_numbers_of_x_and_y_may_be_anything():
    assert not found(["x", "y"]).stated
    assert found(["lat", "lon"]).stated


@pytest.mark.parametrize(
    "name", ["location", "Coordinates", "gps", "latlong", "lat_lon", "geo_point_2d", "geopoint"]
)
@pytest.mark.parametrize("value", ["-1.3, 36.8", "-1.3 36.8 1700 5", "(-1.3, 36.8)", "-1.3;36.8"])
def test_one_column_may_hold_both(name, value):
    assert found(["name", name], [["a"], [value]]).both == 1


@pytest.mark.parametrize("value", ["Nairobi", "12", "2026-01-01", "1, 2, and 3"])
def test_a_column_of_words_holds_no_places(value):
    assert found(["name", "location"], [["a"], [value]]) is None


@pytest.mark.parametrize(
    "value", ["POINT (1 2)", "SRID=4326;POINT(1 2)", "MULTIPOLYGON Z (((0 0 1, 1 0 1, 1 1 1, 0 0 1)))", '{"type": "Point"', "0101" + "0" * 38]
)  # fmt: skip
@pytest.mark.parametrize("name", ["wkt", "the_geom", "Geometry", "shape", "geo_shape"])
def test_a_column_of_geometries_is_found_by_its_content(name, value):
    assert found(["id", name], [["1"], [value]]).geometry == 1


def test_tags_of_hxl_go_before_names():
    pair = found(["lat", "lon", "b", "c"], [["#x"], ["#y"], ["#geo+lat"], ["#geo +lon"]])

    assert (pair.latitude, pair.longitude) == (2, 3)


def test_the_publishers_word_goes_before_all():
    pair = found(["lat", "lon", "b", "c"], named=Coordinates(latitude="C", longitude="b"))

    assert (pair.latitude, pair.longitude) == (3, 2)


def test_a_named_column_that_is_not_there_is_told():
    with pytest.raises(coordinates.ColumnMissingError, match="north"):
        found(["lat", "lon"], named=Coordinates(latitude="north", longitude="lon"))


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("36.82", 36.82), ("36,82", 36.82), ("-1.2921°", -1.2921), ("1.2921° S", -1.2921), ("36.8 E", 36.8), ("36.8W", -36.8),
        ("1°17'31\"S", -1.29194), ("S 1 17 31", -1.29194), ("1° 17' S", -1.28333), ("N 51 30.5", 51.50833), ("1:17:31 S", -1.29194),
        ("-1 17 31", -1.29194), ("36,5 O", -36.5), ("0", 0), ("−1.3", -1.3), ("–1.3", -1.3), ("N -1.3", -1.3), ("'1.5", 1.5),
        ("1º17'31\"N", 1.29194), ("1.5 deg S", -1.5), ("36.8 East", 36.8), ("1.3 Sud", -1.3), ("٣٦٫٨", 36.8), ("１.５", 1.5),
    ],
)  # fmt: skip
def test_an_angle_is_read(text, degrees):
    assert tabular.angle(text) == pytest.approx(degrees, abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "north",
        "36.8.2",
        "1°77'",
        "12 km",
        "2026-01-01",
        "n/a",
        "1 2 3 4",
        "1,234.5",
        "1.292.100",
        "1.5 / 2.5",
        "-",
    ],
)
def test_what_is_no_angle_is_none(text):
    assert math.isnan(tabular.angle(text))


def placed(columns, named=NOTHING):
    batch = pa.record_batch({"fid": pa.array(range(len(next(iter(columns.values()))))), **columns})
    rows = tabular.rows(list(columns), batch, named)
    return [
        None if blob is None else shapely.to_wkt(shapely.from_wkb(blob))
        for blob in rows.take(batch).to_pylist()
    ]


def test_numbers_and_texts_become_points():
    columns = {
        "lat": pa.array(["-1.3", " 2,5 ", "3°30'N", None, "words"]),
        "lon": pa.array([36.8, 1.0, 2.0, 3.0, 4.0]),
    }

    assert placed(columns) == ["POINT (36.8 -1.3)", "POINT (1 2.5)", "POINT (2 3.5)", None, None]


def test_both_in_one_column_become_points():
    assert placed({"gps": pa.array(["-1.3, 36.8", "-1 37 1700 5", None])}) == [
        "POINT (36.8 -1.3)",
        "POINT (37 -1)",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("(-1.3, 36.8)", "POINT (36.8 -1.3)"), ("-1.3;36.8", "POINT (36.8 -1.3)"), ("-1,3; 36,8", "POINT (36.8 -1.3)"),
        ("-1,3 36,8", "POINT (36.8 -1.3)"), ("1.3° S, 36.8° E", "POINT (36.8 -1.3)"), ("1°30'S 36°30'E", "POINT (36.5 -1.5)"),
        ("-1,3,5", None), ("1; 2; 3", None), ("Nairobi", None),
    ],
)  # fmt: skip
def test_a_pair_in_one_text_is_read(text, point):
    assert placed({"gps": pa.array(["1, 2", "1, 2", text])})[2] == point


def test_columns_with_each_others_values_are_swapped():
    assert placed({"lat": pa.array([136.8, 137.1]), "lon": pa.array([-1.3, -1.0])}) == [
        "POINT (136.8 -1.3)",
        "POINT (137.1 -1)",
    ]


@pytest.mark.parametrize(
    ("latitude", "longitude"), [([136.8, 36], [-1.3, -1]), ([136.8], [95.0]), ([257000.0], [12.0])]
)
def test_columns_are_not_swapped_where_one_row_speaks_against_it(latitude, longitude):
    batch = pa.record_batch({"fid": pa.array(range(len(latitude))), "lat": latitude, "lon": longitude})

    assert not tabular.rows(["lat", "lon"], batch, NOTHING).swapped


def test_rows_at_zero_are_drawn_and_counted():
    batch = pa.record_batch({"fid": pa.array([7, 8]), "lat": pa.array([0, 0]), "lon": pa.array([0, 1])})
    rows = tabular.rows(["lat", "lon"], batch, NOTHING)

    assert rows.take(batch).null_count == 0
    assert rows.at_zero.report() == {"count": 1, "example": "feature 7"}


def test_geometries_of_every_notation_become_shapes():
    hexadecimal = shapely.to_wkb(shapely.Point(5, 6), hex=True)
    columns = {
        "geom": pa.array(
            [
                "POINT (1 2)",
                "SRID=4326;POINT (3 4)",
                hexadecimal,
                '{"type":"Point","coordinates":[7,8]}',
                "POINT (",
                None,
            ]
        )
    }

    assert placed(columns) == ["POINT (1 2)", "POINT (3 4)", "POINT (5 6)", "POINT (7 8)", None, None]


def test_a_geometry_that_states_its_crs_is_believed():
    batch = pa.record_batch({"fid": pa.array([0]), "geom": pa.array(["SRID=32737;POINT (257000 9856000)"])})

    assert tabular.rows(["geom"], batch, NOTHING).stated_crs == "EPSG:32737"


def test_hexadecimal_geometry_states_its_crs_too():
    text = shapely.to_wkb(
        shapely.set_srid(shapely.Point(257000, 9856000), 32737), hex=True, include_srid=True
    )
    batch = pa.record_batch({"fid": pa.array([0]), "the_geom": pa.array([text])})

    assert tabular.rows(["the_geom"], batch, NOTHING).stated_crs == "EPSG:32737"


def test_a_geometry_in_another_crs_than_the_first_has_no_place():
    texts = ["SRID=4326;POINT (1 2)", "SRID=3857;POINT (3 4)", "POINT (5 6)"]

    assert placed({"geom": pa.array(texts)}) == ["POINT (1 2)", None, "POINT (5 6)"]


def test_a_million_rows_are_placed_as_arrays():
    numbers = pa.array(np.linspace(-80, 80, 1_000_000))
    batch = pa.record_batch({"fid": pa.array(range(1_000_000)), "lat": numbers, "lon": numbers})

    assert len(tabular.rows(["lat", "lon"], batch, NOTHING).take(batch)) == 1_000_000
