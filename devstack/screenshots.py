"""The README's picture, taken from the running site and its samples."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from devstack import packages
from devstack.paths import ROOT

PICTURE = ROOT / "docs" / "images" / "map.png"
SAMPLE = "Countries of Africa"
#: Longitude and latitude of a place inside the country that is shown with its attributes.
MADAGASCAR = [46.5, -19.0]
BROWSER_ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 60_000


def take(pages: list[str]) -> Path:
    """Open the pages, photograph the sample's; answers where the picture is."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=packages.browser(), args=list(BROWSER_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1180, "height": 900}, color_scheme="light")
        for url in pages:
            page.goto(url)
            if page.get_by_text(SAMPLE).count():
                _photograph(page)
        browser.close()
    return PICTURE


def _photograph(page: Page) -> None:
    ready = page.locator("[data-hdxjobs-map][data-state=ready]")
    ready.wait_for(timeout=PATIENCE_MS)
    x, y = ready.evaluate(
        "(element, place) => { const {x, y} = element.hdxjobsMap.project(place); return [x, y]; }", MADAGASCAR
    )
    page.locator("[data-hdxjobs-map] canvas").click(position={"x": x, "y": y})
    page.locator(".hdxjobs-popup").wait_for()
    page.locator("[data-hdxjobs-map]").evaluate(
        "element => new Promise((done) => element.hdxjobsMap.once('idle', done) && element.hdxjobsMap.triggerRepaint())"
    )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    page.locator(".module-resource").screenshot(path=str(PICTURE))
    # 128 colours are plenty for a flat map, and keep the repository small.
    Image.open(PICTURE).convert("RGB").quantize(128).save(PICTURE, optimize=True)
