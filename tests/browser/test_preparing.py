"""A map that is looked at while its tiles are still being prepared."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from playwright.sync_api import Page, Route, expect
from portal import PATIENCE_S, Resource, Site, drawn_map, features_in_view, geojson, wait_until

from devstack import sites

#: So many that the shape is left out of samples.
VERTICES = 10_000

SAID = "This map is still being prepared: for now it shows a rough version of the data."
#: The map's first pause before it asks again is over at once; what MapLibre waits for is not.
HURRY = """
const later = window.setTimeout;
window.setTimeout = (act, ms, ...rest) => later(act, ms === 3000 ? 0 : ms, ...rest);
"""
TILEJSON = re.compile(r"/hdxjobs/tiles/[0-9a-f]{20}\.json")
#: Of a layer as it is published, and as preparing may leave it.
ZOOM, DEEPER_ZOOM = 14, 16

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
    """Whether the registry says that the lake's tiles are made, which gave it more zooms."""
    layer_id = site.finished(lake)["layers"][0]["layer_id"]
    connection = psycopg2.connect(sites.mine().addresses()["loader_db"])
    connection.autocommit = True
    with connection.cursor() as cursor:

        def change(prepared: bool) -> None:
            moment, zoom = ("now()", DEEPER_ZOOM) if prepared else ("NULL", ZOOM)
            cursor.execute(
                f"UPDATE hdxjobs.layer SET prepared_at = {moment}, maxzoom = {zoom} WHERE layer_id = %s",
                (layer_id,),
            )

        def is_prepared() -> bool:
            cursor.execute(
                "SELECT prepared_at IS NOT NULL FROM hdxjobs.layer WHERE layer_id = %s", (layer_id,)
            )
            return bool(cursor.fetchone()[0])

        wait_until(is_prepared, seconds=PATIENCE_S)
        yield change
    connection.close()


def deepest_zoom(page: Page) -> int:
    """Of the tiles that the map asks for."""
    found: int = page.locator("[data-hdxjobs-map]").evaluate(
        "element => element.hdxjobsMap.getSource('hdxjobs-data-0').maxzoom"
    )
    return found


def test_a_map_of_samples_says_so_and_is_completed_on_the_same_page(
    lake: Resource, set_prepared: SetPrepared, visitor: Page
) -> None:
    set_prepared(False)
    visitor.goto(lake.path)
    message = drawn_map(visitor).locator("[data-hdxjobs-message]")
    expect(message).to_have_text(SAID)
    assert features_in_view(visitor) == []
    assert deepest_zoom(visitor) == ZOOM

    set_prepared(True)

    wait_until(lambda: bool(features_in_view(visitor)), seconds=PATIENCE_S)
    expect(message).to_be_hidden()
    wait_until(lambda: deepest_zoom(visitor) == DEEPER_ZOOM, seconds=PATIENCE_S)


@pytest.mark.parametrize("status", [503, None])
def test_a_site_that_cannot_tell_for_a_while_ends_neither_the_message_nor_the_map(
    lake: Resource, set_prepared: SetPrepared, visitor: Page, status: int | None
) -> None:
    failed: list[str] = []

    def fail(route: Route) -> None:
        if status:
            route.fulfill(status=status)
        else:
            route.abort()
        failed.append(route.request.url)

    set_prepared(False)
    visitor.goto(lake.path)
    message = drawn_map(visitor).locator("[data-hdxjobs-message]")
    expect(message).to_have_text(SAID)
    visitor.route(TILEJSON, fail)
    # Handlers of requests run while Playwright is asked something.
    wait_until(lambda: bool(visitor.title()) and bool(failed), seconds=PATIENCE_S)
    visitor.unroute(TILEJSON)
    expect(message).to_have_text(SAID)

    set_prepared(True)

    wait_until(lambda: deepest_zoom(visitor) == DEEPER_ZOOM, seconds=PATIENCE_S)
    expect(message).to_be_hidden()


def test_a_map_that_is_prepared_says_nothing_and_asks_once(
    lake: Resource, set_prepared: SetPrepared, visitor: Page
) -> None:
    asked: list[str] = []
    visitor.on(
        "requestfinished", lambda request: asked.append(request.url) if TILEJSON.search(request.url) else None
    )
    visitor.add_init_script(HURRY)
    set_prepared(True)
    visitor.goto(lake.path)
    message = drawn_map(visitor).locator("[data-hdxjobs-message]")
    # MapLibre's own, and the look whether the layer is prepared.
    wait_until(lambda: bool(visitor.title()) and len(asked) == 2, seconds=PATIENCE_S)
    # As long as a map that asked again would take.
    visitor.evaluate("url => fetch(url, {cache: 'no-store'})", str(visitor.url))
    assert features_in_view(visitor)
    expect(message).to_be_hidden()
    assert len(asked) == 2
