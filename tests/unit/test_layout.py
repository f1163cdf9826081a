"""Where a table of text begins, and what separates its values."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.layout import layout, unclosed_line
from ckanext.hdxjobs.geopreview.values import Coordinates

NOTHING = Coordinates()


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
    found = layout(text, whole=True, named=NOTHING)
    assert text[found.start :].splitlines()[0] == header


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


def test_a_table_whose_first_row_may_be_values_is_not_headed():
    assert not layout("-1.3,36.8\n-1.0,37.1\n", whole=True, named=NOTHING).is_headed


def test_the_separator_with_which_names_tell_a_place_is_taken():
    assert layout("name, first;lat;lon, east\nA, B;1;2\n", whole=True, named=NOTHING).separator == ";"
