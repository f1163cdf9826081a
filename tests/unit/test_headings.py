"""Which row of a table is found to name its columns."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview.headings import are_tags, heading
from ckanext.hdxjobs.geopreview.values import Coordinates

NOTHING = Coordinates()
HEADER, ROWS = ["name", "lat", "lon"], [["A", "-1.3", "36.8"], ["B", "S 1.0", "37.1"]]
TITLE = ["Health facilities of Kenya, 2026", "", ""]


@pytest.mark.parametrize(
    ("rows", "number"),
    [
        ([HEADER, *ROWS], 0), ([HEADER], 0), ([TITLE, HEADER, *ROWS], 1), ([TITLE[:1], [], ["as of May"], HEADER, *ROWS], 3),
        ([["name", "y", "x"], *ROWS], 0), ([["a", "north", "east"], ["#loc", "#geo+lat", "#geo+lon"], *ROWS], 0),
        ([["name", "gps"], ["A", "-1.3, 36.8"]], 0),
    ],
)  # fmt: skip
def test_the_row_that_names_latitude_and_longitude_is_the_header(rows, number):
    assert heading(rows, NOTHING) == number


@pytest.mark.parametrize(
    "rows",
    [
        [["a", "b"], ["1", "2"]], [TITLE, ["name", "y", "x"], *ROWS], [TITLE, HEADER], [["term", "meaning"], ["lat", "lon"], ["word", "word"]],
        [TITLE] * 21 + [HEADER, *ROWS], [],
    ],
)  # fmt: skip
def test_no_row_is_the_header_where_no_numbers_confirm_it(rows):
    assert heading(rows, NOTHING) is None


def test_a_row_with_the_names_that_the_publisher_gives_is_the_header():
    rows = [TITLE, ["name", "hauteur", "largeur"], *ROWS]

    assert heading(rows, Coordinates(latitude="hauteur", longitude="largeur")) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["#loc+name", "#geo+lat", ""], True), (["# adm1", " #pop"], True), (["#1", "#2"], False), (["", ""], False), (["#loc", "A"], False),
    ],
)  # fmt: skip
def test_a_row_of_tags_is_known(row, expected):
    assert are_tags(row) == expected
