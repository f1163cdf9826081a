"""A permit is good for one resource, for minutes, and only if the site made it."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.geopreview import permit

NOW_S = 1_800_000_000.7


def valid(text: str, resource_id: str = "towns", *, secret: str = "secret", now_s: float = NOW_S) -> bool:
    return permit.is_valid(text, resource_id, secret=secret, clock=lambda: now_s)


def issued() -> str:
    return permit.issue("towns", secret="secret", now_s=NOW_S)


def test_a_permit_opens_its_resource() -> None:
    assert valid(issued())


def test_a_permit_opens_no_other_resource() -> None:
    assert not valid(issued(), "roads")


def test_a_permit_of_another_site_opens_nothing() -> None:
    assert not valid(issued(), secret="another")


@pytest.mark.parametrize(("later_s", "expected"), [(599, True), (602, False), (-598, True), (-602, False)])
def test_a_permit_lasts_ten_minutes_by_either_clock(later_s: int, expected: bool) -> None:
    assert valid(issued(), now_s=NOW_S + later_s) is expected


def test_a_permit_cannot_be_prolonged() -> None:
    _, _, seal = issued().partition(".")
    assert not valid(f"{int(NOW_S) + 3600}.{seal}", now_s=NOW_S + 3600)


@pytest.mark.parametrize("text", ["", ".", "x", "1800000000.", "é.é", "1800000000." + "0" * 64, "\0"])
def test_what_is_no_permit_opens_nothing(text: str) -> None:
    assert not valid(text)
