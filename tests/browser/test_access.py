"""For everybody: by keyboard, on a phone, in the dark, from right to left."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from portal import Resource, Site, drawn_map, geojson, square

FIELDS = {"name": "Big square", "url": "https://data.example.org/one", "text": "long " * 60}


@pytest.fixture(scope="module")
def resource(site: Site) -> Resource:
    made = site.upload("square.geojson", geojson((square(20, 10, 8), FIELDS)))
    assert site.finished(made)["state"] == "ready"
    return made


def focus_canvas_by_keyboard(page: Page) -> None:
    page.locator("[data-hdxjobs-map] canvas").focus()
    # A key press makes the focus a visible one, as the Tab key does.
    page.keyboard.press("Shift")
    page.locator("[data-hdxjobs-map] canvas").evaluate("canvas => { canvas.blur(); canvas.focus(); }")


def test_enter_inspects_what_is_under_the_cross(resource: Resource, visitor: Page) -> None:
    visitor.goto(resource.path)
    drawn_map(visitor)
    focus_canvas_by_keyboard(visitor)
    expect(visitor.locator(".hdxjobs-map-cross")).to_be_visible()

    visitor.keyboard.press("Enter")

    expect(visitor.get_by_role("dialog", name="Big square")).to_be_focused()


def test_escape_closes_the_popup_and_gives_the_focus_back(resource: Resource, visitor: Page) -> None:
    visitor.goto(resource.path)
    drawn_map(visitor)
    focus_canvas_by_keyboard(visitor)
    visitor.keyboard.press("Enter")
    expect(visitor.locator(".hdxjobs-popup")).to_be_focused()

    visitor.keyboard.press("Escape")

    expect(visitor.locator(".hdxjobs-popup")).to_have_count(0)
    expect(visitor.locator("[data-hdxjobs-map] canvas")).to_be_focused()


def test_enter_beside_all_features_says_so(resource: Resource, visitor: Page) -> None:
    visitor.goto(resource.path)
    drawn_map(visitor)
    visitor.locator("[data-hdxjobs-map]").evaluate("element => element.hdxjobsMap.jumpTo({center: [60, 10]})")
    focus_canvas_by_keyboard(visitor)

    visitor.keyboard.press("Enter")

    expect(visitor.get_by_text("There is nothing under the cross")).to_be_visible()


def test_each_control_has_a_name(resource: Resource, visitor: Page) -> None:
    visitor.goto(resource.path)
    view = drawn_map(visitor)

    for name in ("Zoom in", "Zoom out", "Full screen"):
        expect(view.get_by_role("button", name=name)).to_be_visible()
    expect(view.locator("canvas")).to_have_attribute("aria-label", "Map of the data. Arrow keys move it, "
                                                     "plus and minus zoom, Enter tells what is under the cross.")  # fmt: skip


def test_long_texts_are_shortened_and_can_be_opened(resource: Resource, visitor: Page) -> None:
    visitor.goto(resource.path)
    drawn_map(visitor)
    focus_canvas_by_keyboard(visitor)
    visitor.keyboard.press("Enter")
    whole = visitor.locator(".hdxjobs-popup details p")
    expect(whole).to_be_hidden()

    visitor.locator(".hdxjobs-popup summary").click()

    expect(whole).to_have_text(FIELDS["text"].strip())


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("prefix", ["", "/ar"])
def test_no_width_needs_sideways_scrolling(
    site: Site, resource: Resource, browser: Browser, width: int, prefix: str
) -> None:
    context = browser.new_context(base_url=site.url, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(prefix + resource.path)
    box = drawn_map(page).bounding_box()

    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    context.close()


def test_the_page_is_mirrored_in_a_right_to_left_language(resource: Resource, visitor: Page) -> None:
    visitor.goto("/ar" + resource.path)
    view = drawn_map(visitor)
    frame = view.bounding_box()
    zoom = view.locator(".maplibregl-ctrl-zoom-in").bounding_box()

    assert frame is not None
    assert zoom is not None
    assert zoom["x"] < frame["x"] + frame["width"] / 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_follows_the_visitors_colour_scheme(resource: Resource, visitor: Page, scheme: str) -> None:
    visitor.goto(resource.path)
    drawn_map(visitor)

    visitor.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]

    expect(visitor.locator("[data-hdxjobs-map]")).to_have_attribute("data-scheme", scheme)
