"""What the page shows while a file is worked on, and what it says about a map that is ready."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from portal import Resource, Site, drawn_map, geojson, point
from slow_server import SlowServer, slow_server

PHONE = {"width": 360, "height": 740}
#: 1.2 MB.
BODY = geojson(*((point(n % 90, n % 80), {"text": "x" * 500}) for n in range(2000)))
STEP_BYTES = 400_000


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with slow_server(BODY) as running:
        yield running


@pytest.fixture
def linked(site: Site, server: SlowServer) -> Resource:
    """A resource whose file comes as slowly as the test wants."""
    dataset = site.dataset()
    made = site.call(
        "resource_create", package_id=dataset, name="slow.geojson", url=server.url, format="GeoJSON"
    )
    return Resource(made["id"], dataset)


def fits(page: Page, selector: str) -> bool:
    """Whether a part of the page, and all in it, is within the window."""
    found: bool = page.locator(selector).first.evaluate(
        """element => [element, ...element.querySelectorAll('*')]
            .every((part) => part.getBoundingClientRect().right <= window.innerWidth)"""
    )
    return found


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_a_download_is_counted_while_it_comes(
    linked: Resource, server: SlowServer, visitor: Page, viewport: dict[str, int] | None
) -> None:
    if viewport:
        visitor.set_viewport_size(viewport)
    visitor.goto(linked.path)
    bar, measure = visitor.get_by_role("progressbar"), visitor.locator("[data-hdxjobs-measure]")

    server.send(STEP_BYTES)
    expect(measure).to_have_text("Downloading: 0.4 of 1.2 MB")
    first = float(bar.get_attribute("value") or 0)
    server.send(STEP_BYTES)
    expect(measure).to_have_text("Downloading: 0.8 of 1.2 MB")
    assert float(bar.get_attribute("value") or 0) > first
    expect(bar).to_have_attribute("aria-valuetext", "Downloading: 0.8 of 1.2 MB")
    assert fits(visitor, "[data-hdxjobs-status]")

    server.finish()
    drawn_map(visitor)


def test_the_page_does_not_jump_when_counting_begins(
    linked: Resource, server: SlowServer, visitor: Page
) -> None:
    visitor.goto(linked.path)
    panel = visitor.locator("[data-hdxjobs-status]")
    expect(panel).to_have_attribute("data-state", "running")
    before = panel.bounding_box()

    server.send(STEP_BYTES)
    expect(visitor.locator("[data-hdxjobs-measure]")).not_to_be_empty()

    assert panel.bounding_box() == before
    server.finish()
    drawn_map(visitor)


def test_numbers_that_change_are_not_read_out_each_second(
    linked: Resource, server: SlowServer, visitor: Page
) -> None:
    # All comes within a second: the page reads numbers out now and then.
    visitor.clock.set_fixed_time(time.time() * 1000)
    visitor.goto(linked.path)
    server.send(STEP_BYTES // 4)
    expect(visitor.locator("[data-hdxjobs-measure]")).to_contain_text("0.1 of")
    visitor.evaluate(
        """() => {
            window.readOut = 0;
            const count = new MutationObserver((changes) => { window.readOut += changes.length; });
            for (const live of document.querySelectorAll('[data-hdxjobs-status] [role=status]')) {
                count.observe(live, {childList: true, characterData: true, subtree: true});
            }
        }"""
    )

    for number in ("0.5", "0.9"):
        server.send(STEP_BYTES)
        expect(visitor.locator("[data-hdxjobs-measure]")).to_contain_text(f"{number} of")

    assert visitor.evaluate("window.readOut") == 0
    server.finish()
    drawn_map(visitor)


@pytest.fixture(scope="module")
def noted(site: Site) -> Resource:
    """A map with four things to say about it."""
    resource = site.upload(
        "notes.geojson",
        geojson(
            ({"type": "Point", "coordinates": [1, 2, 30]}, {f"column_{number}": 1 for number in range(1600)}),
            (point(500, 2), {}),
            ({"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [1, 1]]]}, {}),
            (None, {}),  # type: ignore[arg-type]
        ),
    )
    assert len(site.finished(resource)["warnings"]) == 5
    return resource


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_three_notes_are_seen_at_once_and_the_rest_on_demand(
    noted: Resource, visitor: Page, viewport: dict[str, int] | None
) -> None:
    if viewport:
        visitor.set_viewport_size(viewport)
    visitor.goto(noted.path)
    drawn_map(visitor)

    notes = visitor.get_by_role("region", name="About this map").get_by_role("listitem")
    expect(notes).to_have_count(3)
    visitor.get_by_text("2 more notes about this map").click()
    expect(notes).to_have_count(5)
    assert fits(visitor, "[data-hdxjobs-notes]")
