"""What a release's own words mean."""

from __future__ import annotations

import pytest

from devstack.packages import is_ubuntu, java_version, postgres_version
from devstack.steps import StepError


@pytest.mark.parametrize(
    ("text", "version"),
    [("javac 17.0.15", 17), ("javac 11.0.2", 11), ("javac 1.8.0_292", 8), ("not found", 0)],
)
def test_javas_version_is_its_major_number(text: str, version: int) -> None:
    assert java_version(text) == version


@pytest.mark.parametrize(
    ("release", "ubuntu"),
    [
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ("ID=debian\n", False),
        ('ID=raspbian\nID_LIKE=debian\nVARIANT_ID="ubuntu"\n', False),
    ],
)
def test_ubuntu_and_what_is_made_from_it_have_no_chromium_package(release: str, ubuntu: bool) -> None:
    assert is_ubuntu(release) is ubuntu


def test_postgis_is_taken_for_the_releases_own_postgresql() -> None:
    assert postgres_version("postgresql\n  Depends: postgresql-15\n  Suggests: postgresql-doc\n") == "15"


def test_a_release_without_postgresql_is_named_as_the_reason() -> None:
    with pytest.raises(StepError, match="no package postgresql"):
        postgres_version("")
