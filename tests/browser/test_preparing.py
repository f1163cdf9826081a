"""A map that is looked at while its tiles are still being prepared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from playwright.sync_api import Page, expect
from portal import PATIENCE_S, Resource, Site, drawn_map, features_in_view, geojson, wait_until

from devstack import sites

#: So many that the shape is left out of samples.
VERTICES = 10_000

SetPrepared = Callable[[bool], None]


def round_lake() -> dict[str, object]:
    """A polygon's geometry; degrees."""
    turns = [2 * math.pi * number / VERTICES for number in range(VERTICES)]
    ring = [[14 + math.cos(turn), 13 + math.sin(turn)] for turn in turns]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


@pytest.fixture
def lake(site: Site) -> Resource:
    resource = site.upload("lake.geojson", geojson((round_lake(), {"name": "Lake Chad"})))
    assert site.finished(resource)["state"] == "ready"
    return resource


@pytest.fixture
def set_prepared(site: Site, lake: Resource) -> Iterator[SetPrepared]:
    """Whether the registry says that the lake's tiles are made."""
    layer_id = site.finished(lake)["layers"][0]["layer_id"]
    connection = psycopg2.connect(sites.mine().addresses()["loader_db"])
    connection.autocommit = True
    with connection.cursor() as cursor:

        def change(prepared: bool) -> None:
            moment = "now()" if prepared else "NULL"
            cursor.execute(
                f"UPDATE hdxjobs.layer SET prepared_at = {moment} WHERE layer_id = %s", (layer_id,)
            )

        def is_prepared() -> bool:
            cursor.execute(
                "SELECT prepared_at IS NOT NULL FROM hdxjobs.layer WHERE layer_id = %s", (layer_id,)
            )
            return bool(cursor.fetchone()[0])

        wait_until(is_prepared, seconds=PATIENCE_S)
        yield change
    connection.close()


def test_a_map_of_samples_says_so_and_is_completed_on_the_same_page(
    lake: Resource, set_prepared: SetPrepared, visitor: Page
) -> None:
    set_prepared(False)
    visitor.goto(lake.path)
    message = drawn_map(visitor).locator("[data-hdxjobs-message]")
    expect(message).to_have_text(
        "This map is still being prepared: for now it shows a rough version of the data."
    )
    assert features_in_view(visitor) == []

    set_prepared(True)

    wait_until(lambda: bool(features_in_view(visitor)), seconds=PATIENCE_S)
    expect(message).to_be_hidden()


def test_a_map_that_is_prepared_says_nothing(
    lake: Resource, set_prepared: SetPrepared, visitor: Page
) -> None:
    set_prepared(True)
    with visitor.expect_response(lambda answer: answer.url.endswith(".json?v=1")):
        visitor.goto(lake.path)

    expect(drawn_map(visitor).locator("[data-hdxjobs-message]")).to_be_hidden()
