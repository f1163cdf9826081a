"""Which texts are tables."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.delimited import separator


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
        ("36.8,-1.3\n37.0,-1.0\n", ","),
        ("Dear all,\nplease find the data, the map and the notes, as agreed.\nBest\n", None),
        ("Thanks to all of you, this works very well.\n", None),
        ("2026-01-02 10:11:12,123 INFO started\n2026-01-02 10:11:13,001 INFO done\n", None),
        ('1.2.3.4 - [02/Jan/2026:10:11:12] "Mozilla (X11; Linux; rv)"\n', None),
        ("Title of the table\n\nname,lat\nA,1\nB,2\n", ","),
        ("sep=;\nname;lat;lon\nA;1;2\nB;1;2\n", ";"),
        ("name,lat,lon\nA,1\nB,2,3,4\nC,1,2\nD,1,2\n", ","),
        ("name,lat,note\nA,1,\nB,2,\nC,1,\nD,2,x\n", ","),
        ("name,lat\r\nA,1\r\n\x1a", ","),
        ("name,lat,lon\nA\0,1,2\n" + "Nairobi,1,2\n" * 10, ","),
        ("place, remark, lat\nA, one day by boat from the harbour of the island, 1\n", ","),
        ("time,lat\n2026-01-02T10:11:12,1\n", ","),
        ("Dear colleague, please find\nattached the data, thank you\n", None),
        ("import os, sys\nfrom a import b, c\nx = (1, 2)\n", None),
        ("var a = 1;\nvar b = 2;\n", None),
        ("INSERT INTO t VALUES (1,'a');\nINSERT INTO t VALUES (2,'b');\n", None),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", None),
        ('GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.25]]]', None),
        ("a;\nb;\nc;\n", None),
        ("a,b\x00,c\n", None),
        ("<a>,<b>\n1,2\n", None),
        ('[1, 2],\n[3, "a"]', None),
    ],
)  # fmt: skip
def test_a_table_has_a_header_and_rows_as_wide(text, expected):
    assert separator(text, whole=True) == expected


def test_a_last_line_that_is_cut_off_does_not_count():
    text = "name,lat,lon\n" + "Nairobi,-1.3,36.8\n" * 2 + "Thi"
    assert separator(text, whole=False) == ","


def test_a_cell_longer_than_the_csv_modules_limit_ends_the_look():
    """Large areas in WKT have such cells."""
    shape = '"POLYGON ((' + "1 1, " * 50_000 + '1 1))"'
    assert separator(f"name,wkt\nA,{shape}\n", whole=True) == ","
    assert separator(shape, whole=True) is None
