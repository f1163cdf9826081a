"""What pages are told of a preview: the pure part."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs import helpers
from ckanext.hdxjobs.config import MapSettings


@pytest.mark.parametrize(
    ("boxes", "joint"),
    [
        ([], None),
        ([[10, -5, 20, 5]], (10, -5, 20, 5)),
        ([[10, -5, 20, 5], [30, 0, 40, 50]], (10, -5, 40, 50)),
    ],
)
def test_bounds_of_several_layers_hold_each_of_them(
    boxes: list[list[float]], joint: helpers.Bounds | None
) -> None:
    assert helpers.joint_bounds(boxes) == joint


def test_a_layer_across_the_antimeridian_is_not_drawn_around_the_globe() -> None:
    assert helpers.joint_bounds([[177, -20, -178, -12]]) == (177, -20, 182, -12)


def test_a_layer_east_of_the_antimeridian_stays_beside_one_that_crosses_it() -> None:
    assert helpers.joint_bounds([[177, -20, -178, -12], [-176, -18, -175, -15]]) == (177, -20, 185, -12)


def test_bounds_never_exceed_a_whole_turn() -> None:
    assert helpers.joint_bounds([[10, -20, -178, -12], [-179, -5, 20, 5]]) == (-180, -20, 180, 5)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("land", "land"),
        ("none", "none"),
        ("https://tiles.example.org/{z}/{x}/{y}.png", "raster"),
        ("https://maps.example.org/style.json", "style"),
    ],
)
def test_the_basemap_setting_says_what_kind_it_is(setting: str, kind: str) -> None:
    assert helpers.basemap(MapSettings(setting, ""))["kind"] == kind


def test_the_embedded_land_is_credited_without_being_told() -> None:
    assert helpers.basemap(MapSettings("land", ""))["attribution"] == "Natural Earth"


def test_the_bar_does_not_fall_back_when_a_phase_ends() -> None:
    steps = [
        ("fetch", 0.0),
        ("fetch", 1.0),
        ("detect", None),
        ("load", 0.0),
        ("load", 0.5),
        ("publish", None),
    ]

    shares = [helpers.percent(phase, progress) for phase, progress in steps]

    assert shares == sorted(share for share in shares if share is not None)


def test_nobody_knows_how_far_a_waiting_job_is() -> None:
    assert helpers.percent(None, None) is None
