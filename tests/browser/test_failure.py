"""When there is no map: what the page says, to whom, and what can be done."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from playwright.sync_api import Page, Route, expect
from portal import Resource, Site, drawn_map, geojson, point

CUT_OFF = geojson((point(1, 2), {"name": "x"}))[:-30]
GOOD = geojson((point(1, 2), {"name": "x"}))


@pytest.fixture(scope="module")
def broken(site: Site) -> Resource:
    resource = site.upload("cut.geojson", CUT_OFF)
    assert site.finished(resource)["state"] == "failed"
    return resource


@pytest.fixture(scope="module")
def good(site: Site) -> Resource:
    resource = site.upload("ok.geojson", GOOD)
    assert site.finished(resource)["state"] == "ready"
    return resource


def test_an_editor_reads_what_is_wrong_and_what_to_do(broken: Resource, editor: Page) -> None:
    editor.goto(broken.path)

    panel = editor.locator("[data-hdxjobs-panel]")
    expect(panel).to_contain_text("This file cannot be shown on a map")
    expect(panel).to_contain_text("damaged or cut off")
    expect(panel).to_contain_text("What you can do: Open the file in the program that made it")


def test_a_visitor_reads_why_but_is_not_told_to_mend_it(broken: Resource, visitor: Page) -> None:
    visitor.goto(broken.path)

    panel = visitor.locator("[data-hdxjobs-panel]")
    expect(panel).to_contain_text("damaged or cut off")
    expect(panel).not_to_contain_text("What you can do")
    expect(panel.get_by_role("button")).to_have_count(0)


def test_a_visitor_of_a_file_that_is_no_geodata_reads_one_line(site: Site, visitor: Page) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("minutes.txt", "Nothing with coordinates.")
    resource = site.upload("minutes.zip", archive.getvalue())
    assert site.finished(resource)["state"] == "unsupported"

    visitor.goto(resource.path)

    panel = visitor.locator("[data-hdxjobs-panel]")
    expect(panel).to_contain_text("The zip file holds no file that can be drawn")
    expect(panel.get_by_role("heading")).to_have_count(0)


def test_retry_starts_again_on_the_same_page(site: Site, broken: Resource, editor: Page) -> None:
    editor.goto(broken.path)
    before = site.finished(broken)["generation"]
    with site.without_worker():
        editor.get_by_role("button", name="Try again").click()
        expect(editor.locator("[data-hdxjobs-status]")).to_have_attribute("data-pending", "true")

    expect(editor.locator("[data-hdxjobs-status]")).to_have_attribute("data-state", "failed")
    assert site.finished(broken)["generation"] > before


def test_retry_works_without_javascript(
    site: Site, broken: Resource, browser, login_state: dict[str, object]
) -> None:
    context = browser.new_context(base_url=site.url, storage_state=login_state, java_script_enabled=False)
    page = context.new_page()
    page.goto(broken.path)
    before = site.finished(broken)["generation"]

    page.get_by_role("button", name="Try again").click()

    expect(page).to_have_url(re.compile(re.escape(broken.path)))
    assert site.finished(broken)["generation"] > before
    context.close()


def test_the_panel_survives_a_site_that_does_not_answer(site: Site, visitor: Page) -> None:
    with site.without_worker():
        resource = site.upload("ok.geojson", GOOD)
        visitor.goto(resource.path)
        visitor.route("**/preview-status", lambda route: route.abort())
        expect(visitor.get_by_text("Trying again")).to_be_visible()
        visitor.unroute("**/preview-status")

    drawn_map(visitor)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "The map server is busy"),
        (403, "You may not see the data"),
        (None, "The site cannot be reached"),
    ],
)
def test_failing_tiles_are_told_and_can_be_asked_for_again(
    good: Resource, visitor: Page, status: int | None, words: str
) -> None:
    def fail(route: Route) -> None:
        if status:
            route.fulfill(status=status)
        else:
            route.abort()

    visitor.route("**/*.mvt", fail)
    visitor.goto(good.path)
    expect(visitor.get_by_text(words)).to_be_visible()
    visitor.unroute("**/*.mvt")

    visitor.get_by_role("button", name="Try again").click()

    drawn_map(visitor)
    expect(visitor.get_by_text(words)).to_be_hidden()


def test_without_webgl_the_page_offers_the_file(good: Resource, visitor: Page) -> None:
    visitor.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")

    visitor.goto(good.path)

    expect(visitor.get_by_text("lacks WebGL 2")).to_be_visible()
    expect(visitor.get_by_role("link", name="Download the file")).to_be_visible()
