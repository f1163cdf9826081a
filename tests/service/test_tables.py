"""Tables end to end: types, names of columns that the publisher gives, and sheets."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from corpus import build
from makers import zipped

from ckanext.hdxjobs import errors
from ckanext.hdxjobs.geopreview import detect
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.values import Coordinates

TOWNS = "name,north,east\nNairobi,-1.3,36.8\nThika,-1.0,37.1\n"


@pytest.fixture
def named(download, readers):
    """``detect`` on a table whose publisher names its columns."""

    def run(text, coordinates):
        file = dataclasses.replace(download(text.encode(), name="towns.csv"), coordinates=coordinates)
        return detect.detect(
            file, folder=file.path.parent, max_unpacked_bytes=10**8, max_layers=50, formats=frozenset(FORMATS), readers=readers
        )  # fmt: skip

    return run


def test_columns_that_the_publisher_names_are_taken(named):
    text = "name,hauteur,largeur\nNairobi,-1.3,36.8\n"
    (layer,), _ = named(text, Coordinates(latitude="hauteur", longitude="largeur"))
    assert layer.geometry_type == "Unknown"


def test_a_named_column_that_is_missing_is_told_with_those_that_are_there(named):
    with pytest.raises(errors.DetectError) as caught:
        named(TOWNS, Coordinates(latitude="hauteur", longitude="largeur"))
    assert (caught.value.code, caught.value.params) == (
        "column-missing",
        {"name": "hauteur", "columns": "name, north, east"},
    )


def test_a_table_without_coordinates_names_its_columns(named):
    with pytest.raises(errors.DetectError) as caught:
        named("code,amount\nA,1\n", Coordinates())
    assert (caught.value.code, caught.value.params) == ("no-coordinates", {"columns": "code, amount"})


def test_values_keep_their_types_and_codes_their_zeros(imported):
    text = (
        "code,phone,n,share,day,moment,yes,note,lat,lon\n"
        "00123,0701234567,1,1.5,2026-01-31,2026-01-31T10:00:00,true,,1,2\n"
        "00124,0701234568,2,2,2026-02-01,2026-02-01T11:00:00,false,x,3,4\n"
    )
    result = imported(text.encode(), name="typed.csv")
    assert [(field.name, field.type) for field in result.tile_sets[0].fields] == [
        ("code", "string"), ("phone", "string"), ("n", "integer"), ("share", "number"), ("day", "date"),
        ("moment", "datetime"), ("yes", "boolean"), ("note", "string"), ("lat", "integer"), ("lon", "integer"),
    ]  # fmt: skip
    assert result.rows("code", "phone", "day", "note")[0] == (
        "00123",
        "0701234567",
        dt.date(2026, 1, 31),
        None,
    )


def test_a_value_that_comes_late_and_does_not_fit_makes_the_column_text(imported):
    rows = "".join(f"{n},1,2\n" for n in range(60_000))
    result = imported(f"code,lat,lon\n{rows}A7,1,2\n".encode(), name="late.csv")
    assert result.tile_sets[0].fields[0].type == "string"
    assert result.rows("code")[-1] == ("A7",)


def fields_of(result):
    return [(field.name, field.type) for field in result.tile_sets[0].fields]


def test_values_that_a_number_would_falsify_stay_text(imported):
    text = "id,phone,country,lat,lon\n12345678901234567890,+254701234567,NO,1,2\n"
    result = imported(text.encode(), name="ids.csv")
    assert result.rows("id", "phone", "country") == [("12345678901234567890", "+254701234567", "NO")]


def test_tags_of_hxl_do_not_make_numbers_text(imported):
    text = "Place,N,E,People\n#loc+name,#geo+lat,#geo+lon,#population\nA,-1.3,36.8,5\n"
    result = imported(text.encode(), name="hxl.csv")
    assert fields_of(result) == [
        ("Place", "string"),
        ("N", "number"),
        ("E", "number"),
        ("People", "integer"),
    ]
    assert result.rows("Place", "People") == [("#loc+name", None), ("A", 5)]


def test_a_table_below_its_title_has_its_own_names_and_types(imported):
    book = build.workbook(
        {"T": [["Towns of Kenya", "2026"], ["name", "lat", "lon", "people"], ["A", -1.3, 36.8, 5]]}
    )
    result = imported(book, name="book.xlsx")
    assert fields_of(result) == [
        ("name", "string"),
        ("lat", "number"),
        ("lon", "number"),
        ("people", "integer"),
    ]
    assert result.rows("name", "people") == [("A", 5)]


def test_columns_beyond_the_two_thousandth_are_read(imported):
    names = ",".join(f"c{n}" for n in range(2100))
    result = imported(f"{names},lat,lon\n{',' * 2100}-1.3,36.8\n".encode(), name="wide.csv")
    assert result.lonlat() == ["POINT(36.8 -1.3)"]


@pytest.mark.parametrize(
    ("rows", "code", "count", "example"),
    [
        ("Nobody knows,0,0\nNairobi,-1.3,36.8\n", "at-zero", 1, "feature 1"),
        ("Sydney,151.2,-33.9\n", "coordinates-swapped", 0, ""),
    ],
)
def test_doubtful_coordinates_are_told(imported, rows, code, count, example):
    (notice,) = imported(f"name,lat,lon\n{rows}".encode(), name="towns.csv").notices
    assert (notice.code, notice.count, notice.example) == (code, count, example)


def test_a_quotation_mark_that_never_closes_is_told_with_its_line(named):
    with pytest.raises(errors.DetectError) as caught:
        named(TOWNS + '"Nakuru,-0.3,36.1\n', Coordinates(latitude="north", longitude="east"))
    assert caught.value.params["line"] == "4"
    assert "never closes" in caught.value.params["reason"]


def test_a_table_too_large_to_be_kept_is_read_twice_to_the_same_end(imported):
    # 140 MB as texts, in rows that a tile can do without.
    rows = f"{'x' * 1_000_000},-1.3,36.8\n" * 140
    result = imported(f"text,lat,lon\n{rows}".encode(), name="large.csv")
    assert len(result.rows("lat")) == 140


def test_points_of_a_table_lie_where_its_columns_say(imported):
    result = imported(b"name,lat,lon\nNairobi,-1.3,36.8\n", name="towns.csv")
    assert result.lonlat() == ["POINT(36.8 -1.3)"]


def test_each_sheet_with_places_is_a_layer_and_the_others_are_counted(imported):
    book = build.workbook(
        {"Towns": [["name", "lat", "lon"], ["Nairobi", -1.3, 36.8]], "Codes": [["a", "b"], ["x", 1]]}
    )
    result = imported(book, name="book.xlsx")
    assert [tile_set.name for tile_set in result.tile_sets] == ["Towns"]
    assert [(notice.code, notice.example) for notice in result.notices] == [("layers-skipped", "Codes")]


def test_a_workbook_in_a_zip_is_read(imported):
    book = build.workbook({"Towns": [["name", "lat", "lon"], ["Nairobi", -1.3, 36.8]]})
    assert len(imported(zipped({"x/book.xlsx": book})).tile()) == 1


def test_columns_that_are_swapped_are_drawn_right_and_told(imported):
    result = imported(b"name,lat,lon\nA,136.8,-1.3\nB,137.1,-1.0\n", name="towns.csv")
    assert "coordinates-swapped" in result.codes
    assert result.lonlat() == ["POINT(136.8 -1.3)", "POINT(137.1 -1)"]


def test_rows_at_zero_are_drawn_and_told(imported):
    result = imported(b"name,lat,lon\nA,0,0\nB,-1.0,37.1\n", name="towns.csv")
    assert "at-zero" in result.codes
    assert len(result.lonlat()) == 2
