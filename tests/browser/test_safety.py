"""Names and values from files are text, whatever they look like."""

from __future__ import annotations

import json

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Locator, Page, expect
from portal import Resource, Site, click_at, drawn_map, geojson, square

NAUGHTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{ 7*7 }}<b>bold</b>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    'https://canary.invalid/"onmouseover=alert(1)',
    "</script><script>alert(1)</script>",
    "&lt;img src=x onerror=alert(1)&gt;",
]
NAMES = ["<img src=x onerror=alert(2)>", "__proto__", "constructor", '"onclick="alert(3)']


def naughty_file() -> bytes:
    properties = {f"value {number}": text for number, text in enumerate(NAUGHTY)} | dict.fromkeys(NAMES, "v")
    return geojson((square(0, 0, 10), properties))


@pytest.fixture(scope="module")
def naughty(site: Site) -> Resource:
    resource = site.upload("naughty.geojson", naughty_file())
    site.finished(resource)
    return resource


@pytest.fixture
def popup(naughty: Resource, visitor: Page) -> Locator:
    visitor.goto(naughty.path)
    drawn_map(visitor)
    click_at(visitor, 5, 5)
    shown = visitor.locator(".hdxjobs-popup")
    expect(shown).to_be_visible()
    return shown


def test_naughty_values_are_shown_as_they_are(popup: Locator) -> None:
    for text in NAUGHTY:
        expect(popup.get_by_text(text, exact=True).first).to_be_attached()


def test_naughty_values_make_no_elements(popup: Locator) -> None:
    expect(popup.locator("script, img, svg, iframe, b, [onclick], [onmouseover], [onerror]")).to_have_count(0)


def test_only_web_addresses_become_links(popup: Locator) -> None:
    links = popup.locator("a").evaluate_all("links => links.map((link) => [link.protocol, link.rel])")

    assert all(protocol in {"http:", "https:"} and "noopener" in rel for protocol, rel in links)


def test_naughty_names_of_layers_are_shown_as_they_are(site: Site, visitor: Page) -> None:
    name = "<img src=x onerror=alert(4)>"
    folders = "".join(
        f"<Folder><name><![CDATA[{folder}]]></name><Placemark><Point><coordinates>{x},1</coordinates></Point>"
        "</Placemark></Folder>"
        for x, folder in enumerate([name, "plain"])
    )
    kml = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>'
    resource = site.upload("layers.kml", kml.encode())
    names = [layer["name"] for layer in site.finished(resource)["layers"]]
    visitor.goto(resource.path)
    drawn_map(visitor)

    shown = visitor.locator(".hdxjobs-legend-name").all_inner_texts()

    assert shown == names
    expect(visitor.locator(".hdxjobs-legend img")).to_have_count(0)


def test_a_naughty_file_name_in_a_message_is_text(site: Site, editor: Page) -> None:
    resource = site.upload("<img src=x onerror=alert(5)>.geojson", b'{"type": "nothing"}', format="GeoJSON")
    site.finished(resource)

    editor.goto(resource.path)

    expect(editor.locator("[data-hdxjobs-panel]")).to_be_visible()
    expect(editor.locator("[data-hdxjobs-panel] img")).to_have_count(0)


def test_our_part_of_the_page_suits_a_strict_content_security_policy(
    naughty: Resource, visitor: Page
) -> None:
    html = visitor.request.get(naughty.path).text()

    ours = BeautifulSoup(html, "html.parser").select_one("[data-hdxjobs-preview]")

    assert ours is not None
    assert json.loads(str(ours.select_one("[data-hdxjobs-map]")["data-hdxjobs-map"]))["layers"]
    assert ours.select("script, style, [style], [onclick], [onload]") == []
