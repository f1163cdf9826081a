"""Layers that have broken tile servers: each imports, and each of its tiles is small and soon there."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from makers import feature, geojson, kml, placemark, point

FULL_BYTES = 500_000


def line(*positions: list[float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": list(positions)}


def square(x: float, y: float, side: float) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


def walk(seed: int = 1) -> list[tuple[int, int, int]]:
    """A tile of each zoom around (10, 10) degrees, and some others."""
    chance = random.Random(seed)
    down = (1 - math.asinh(math.tan(math.radians(10))) / math.pi) / 2
    around = [(z, int(190 / 360 * 2**z), int(down * 2**z)) for z in range(17)]
    return around + [(z, chance.randrange(2**z), chance.randrange(2**z)) for z in range(0, 24, 2)]


def sizes(result: Any) -> list[int]:
    tile_set = result.tile_sets[0]
    return [len(result.tile_reader.tile(tile_set.layer_id, 1, *place).body) for place in walk()]


def one_place(count: int = 100_000) -> bytes:
    return geojson(*(feature(point(10, 10), n=n) for n in range(count)))


def stacked() -> bytes:
    """So small that few tiles hold them: each zoom has its tile of them all nevertheless."""
    return geojson(*(feature(square(10, 10, 0.02), n=n) for n in range(5_000)))


def wide() -> bytes:
    values = {f"column_{number:04}": number for number in range(2_000)}
    return geojson(*(feature(point(10 + n / 100, 10), **values) for n in range(200)))


def wordy() -> bytes:
    return geojson(*(feature(point(10 + n / 100, 10), text=f"{n}" + "x" * 100_000) for n in range(40)))


def far_out() -> bytes:
    far = line([1e308, 1e308], [-1e308, 5])
    return geojson(feature(far), *(feature(point(10, 10 + n / 10)) for n in range(10)))


def flat() -> bytes:
    return geojson(
        *(feature(line([10, 10], [10 + n / 1e4, 10], [10, 10]), n=n) for n in range(1_000)),
        feature(line([-180, -85], [180, 85], [-180, -85])),
    )


def edges() -> bytes:
    """Points and lines that lie exactly on the edges of tiles."""
    lattice = [45 * n for n in range(-4, 5)]
    return geojson(
        *(feature(point(x, 0), n=x) for x in lattice),
        *(feature(line([x, -80], [x, 80])) for x in lattice),
        feature(line([-180, 0], [180, 0])),
    )


def saw() -> bytes:
    """More teeth than a tile may read, and so low that each is in few tiles."""
    teeth = [[10 + n * 1e-5, 10.0 if n % 2 else 10.1] for n in range(60_000)]
    return geojson(feature(line(*teeth)), feature(line(*[[x, y + 1] for x, y in teeth])))


@pytest.mark.parametrize(
    "make", [one_place, stacked, wide, wordy, far_out, flat, edges, saw], ids=lambda make: make.__name__
)
def test_each_tile_is_small_enough(imported: Callable[..., Any], make: Callable[[], bytes]) -> None:
    result = imported(make())
    assert 0 < max(sizes(result)) <= FULL_BYTES


def test_many_points_in_one_place_are_one_mark_that_counts_them(imported: Any) -> None:
    result = imported(one_place(10_000))
    for z, x, y in walk()[:15]:
        (mark,) = result.tile(z, x, y)
        assert mark["properties"]["point_count"] == 10_000


def test_what_lies_on_the_edge_of_tiles_is_in_both(imported: Any) -> None:
    result = imported(edges())
    for x in (3, 4):
        assert 0 in {item["properties"].get("n") for item in result.tile(3, x, 4)}


def test_a_place_that_no_number_of_the_map_can_hold_is_said(imported: Any) -> None:
    assert "out-of-range" in imported(far_out()).codes


def test_a_layer_without_a_feature_does_not_stop_the_others(imported: Any) -> None:
    result = imported(kml(("Full", placemark("a", 10, 10)), ("Empty", "")))
    assert len(result.tile()) == 1


def test_a_tile_far_below_the_deepest_zoom_still_holds_what_is_there(imported: Any) -> None:
    result = imported(geojson(feature(square(10, 10, 0.2), n=1)))
    zoom = 24
    down = (1 - math.asinh(math.tan(math.radians(10.1))) / math.pi) / 2
    x, y = int(190.1 / 360 * 2**zoom), int(down * 2**zoom)
    (seen,) = result.tile(zoom, x, y)
    assert seen["properties"] == {"n": 1}
