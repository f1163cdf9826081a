"""Which texts are tables."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.delimited import layout, separator, unclosed_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,lat,lon\nNairobi,-1.3,36.8\n", ","),
        ("name;lat;lon\nNairobi;-1,3;36,8\nThika;-1,0;37,1\n", ";"),
        ("name|lat\nNairobi|-1\n", "|"),
        ("a\tb\n1,5\t2\n", "\t"),
        ('name,note\n"Nairobi, the capital","two\nlines"\n', ","),
        ("#adm1+name,#geo+lat\nA,1\n", ","),
        ("name,lat,\nNairobi,1,\n", ","),
        ("name,lat\nNairobi,1,\nThika,2,\n", ","),
        ("name,2019,2020\nNairobi,4,5\n", ","),
        ("name,lat\n\n\nNairobi,1\n", ","),
        ("name,lat\r\nNairobi,1\r\n", ","),
        ("name,lat", ","),
        ("WKT\n\"POLYGON ((0 0, 1 0, 1 1, 0 0))\"\n", ","),
        ("the_geom\nPOINT(1 2)\n", ","),
        ("", None),
        ("name\nNairobi\n", None),
        ("36.8,-1.3\n37.0,-1.0\n", None),
        ("Dear all,\nplease find the data, the map and the notes, as agreed.\nBest\n", None),
        ("Thanks to all of you, this works very well.\n", None),
        ("2026-01-02 10:11:12,123 INFO started\n2026-01-02 10:11:13,001 INFO done\n", None),
        ('1.2.3.4 - [02/Jan/2026:10:11:12] "Mozilla (X11; Linux; rv)"\n', None),
        ("Title of the table\n\nname,lat\nA,1\nB,2\n", None),
        ("a,b\x00,c\n", None),
        ("<a>,<b>\n1,2\n", None),
        ('[1, 2],\n[3, "a"]', None),
    ],
)  # fmt: skip
def test_a_table_has_a_header_and_rows_as_wide(text, expected):
    assert separator(text, whole=True) == expected


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("name,lat,lon\nA,1,2\n", "name,lat,lon"), ("Towns 2026\n\nname,lat,lon\nA,1,2\n", "name,lat,lon"),
        ("Towns, 2026;;\n;;\nname;lat;lon\nA;1,5;2,5\n", "name;lat;lon"), ("# made by hand\r\nname,lat,lon\r\nA,1,2\r\n", "name,lat,lon"),
        ('"Towns\nof Kenya",\nname,lat,lon\nA,1,2\n', "name,lat,lon"), ("sep=;\nname;lat;lon\nA;1;2\n", "name;lat;lon"),
        ("a,b,c\n#loc,#geo+lat,#geo+lon\nA,1,2\n", "a,b,c"), ("a,b\nlat,lon\nword,word\n", "a,b"),
    ],
)  # fmt: skip
def test_a_table_starts_with_the_names_of_its_columns(text, header):
    found = layout(text, whole=True)
    assert text[found.start :].splitlines()[0] == header


def test_a_title_in_prose_is_no_table():
    assert layout("Dear all,\nhere are the lat, lon\nand the names\n", whole=True) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n"x",1\n', None), ('a,b\nA 5" pipe,1\nB,2\n', None), ('a,b\n"x\ny",1\n"z",2\nA 5",3', None),
        ('a,b\n"x,1\ny,2\n', 2), ('a,b\n"x\ny",1\n\n"z,2\nw,3\n', 5), ('a,b\n1,"x', 2),
    ],
)  # fmt: skip
def test_a_quotation_mark_that_never_closes_is_found(text, line, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert unclosed_line(path, ",") == line


def test_a_last_line_that_is_cut_off_does_not_count():
    text = "name,lat,lon\n" + "Nairobi,-1.3,36.8\n" * 2 + "Thi"
    assert separator(text, whole=False) == ","


def test_a_cell_longer_than_the_csv_modules_limit_is_no_table():
    assert separator("a,b\n" + "x" * 200_000 + ",1\n", whole=True) is None
