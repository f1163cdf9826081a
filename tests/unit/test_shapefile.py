"""The parts of a Shapefile."""

from __future__ import annotations

import makers
import pytest
import shapely

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview.shapefile import missing_bytes, write_index

LINES = [shapely.LineString([(n, n), (n + 1, n), (n + 2, n + n)][: 2 + n % 2]) for n in range(50)]


@pytest.mark.parametrize(
    ("suffix", "cut"), [(".shp", 10), (".shx", 1), (".dbf", 30), (".shp", 200), (".dbf", 400)]
)
def test_a_cut_off_part_of_a_shapefile_is_noticed(tmp_path, suffix, cut):
    (tmp_path / "cut").mkdir()
    content = makers.shapefile(tmp_path)["towns" + suffix]
    path = tmp_path / "cut" / ("x" + suffix)
    path.write_bytes(content)
    assert missing_bytes(path) == 0
    path.write_bytes(content[: max(0, len(content) - cut)])
    assert missing_bytes(path) > 0


def test_an_index_made_again_is_the_one_that_was_lost(tmp_path):
    parts = makers.shapefile(
        tmp_path, geometries=LINES, geometry_type="LineString", fields={"n": list(range(50))}
    )
    write_index(tmp_path / "towns.shp", tmp_path / "again.shx")
    assert (tmp_path / "again.shx").read_bytes() == parts["towns.shx"]


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\0\0\0"])
def test_no_index_is_made_of_records_that_do_not_follow_one_another(tmp_path, length):
    shp = tmp_path / "x.shp"
    content = bytearray(makers.shapefile(tmp_path)["towns.shp"])
    content[104:108] = length
    shp.write_bytes(content)
    with pytest.raises(DetectError) as caught:
        write_index(shp, tmp_path / "x.shx")
    assert caught.value.code == "unreadable"
    assert "byte 100" in str(caught.value)
