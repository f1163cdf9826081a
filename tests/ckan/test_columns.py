"""Publishers name the columns of a table in the resource's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from bs4 import BeautifulSoup
from ckan.tests import factories

from ckanext.hdxjobs.geopreview import source
from ckanext.hdxjobs.geopreview.values import Coordinates

Call = Callable[..., Any]

TABLE = {"url": "https://example.org/towns.csv", "format": "CSV"}
NAMED = {"latitude_column": "north", "longitude_column": "east"}


@pytest.fixture
def resource(dataset: dict[str, Any], call: Call) -> dict[str, Any]:
    made: dict[str, Any] = call("resource_create", package_id=dataset["id"], **TABLE)
    return made


def test_naming_the_columns_asks_for_the_map_again(
    resource: dict[str, Any], call: Call, new_jobs: Callable[[], int]
) -> None:
    new_jobs()

    call("resource_patch", id=resource["id"], **NAMED)

    assert new_jobs() == 1
    assert source.find(resource["id"], 1).coordinates == Coordinates("north", "east")


def test_half_a_pair_asks_for_nothing(
    resource: dict[str, Any], call: Call, new_jobs: Callable[[], int]
) -> None:
    new_jobs()

    call("resource_patch", id=resource["id"], latitude_column="north", longitude_column="")

    assert new_jobs() == 0


def test_the_form_shows_and_keeps_what_was_named(resource: dict[str, Any], call: Call, app: Any) -> None:
    call("resource_patch", id=resource["id"], latitude_column='"><script>', longitude_column="east")
    token = factories.APIToken(user=factories.Sysadmin()["name"])["token"]
    url = tk.url_for("resource.edit", id=resource["package_id"], resource_id=resource["id"])

    page = app.get(url, headers={"Authorization": token})
    fields = {
        each["name"]: each.get("value", "")
        for each in BeautifulSoup(page.body, "html.parser").select("#resource-edit input[name$=_column]")
    }
    app.post(
        url,
        headers={"Authorization": token},
        data={"id": resource["id"], "save": "go-metadata", "name": "renamed", **TABLE, **fields},
    )

    assert fields == {"latitude_column": '"><script>', "longitude_column": "east", "geometry_column": ""}
    after = call("resource_show", id=resource["id"])
    assert (after["name"], after["latitude_column"], after["longitude_column"]) == (
        "renamed",
        '"><script>',
        "east",
    )
