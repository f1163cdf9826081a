"""What a visitor's browser reports, read from the outbox of the site."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from portal import PATIENCE_S, Site, drawn_map, geojson, square, wait_until

from ckanext.hdxjobs.analytics.outbox import Outbox

Reported = Callable[..., dict[str, Any]]


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    """The site's outbox; no worker delivers."""
    ini = ConfigParser(interpolation=None, strict=False)
    ini.read(os.environ["HDXJOBS_TEST_INI"])
    made = Outbox(ini["app:main"]["sqlalchemy.url"])
    yield made
    made.close()


@pytest.fixture
def reported(outbox: Outbox) -> Reported:
    """Wait for an event of that name about something; its properties.

    What pages of other tests have to tell may come at any time.
    """

    def wait(name: str, **about: str) -> dict[str, Any]:
        wanted = {key.replace("_", " "): value for key, value in about.items()}.items()
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            told = (row["properties"] for row in outbox.search(name=name, limit=1000))
            found[:] = [properties for properties in told if wanted <= properties.items()]
            return bool(found)

        wait_until(has_come, seconds=PATIENCE_S)
        return found[0]

    return wait


@pytest.fixture
def reader(browser: Browser, site: Site) -> Iterator[Page]:
    """A visitor whose clicks on links to other sites lead nowhere.

    They are not caught on their way: then the browser may drop what the page says when it is left.
    """
    context = browser.new_context(base_url=site.url)
    context.set_default_timeout(PATIENCE_S * 1000)
    yield context.new_page()
    context.close()


def test_a_page_view_is_reported_with_its_dataset(site: Site, reader: Page, reported: Reported) -> None:
    dataset = site.dataset()
    reader.goto(f"/dataset/{dataset}")

    told = reported("page view", dataset_name=dataset)
    assert told["server side"] is False


def test_a_search_is_reported_with_its_filters_and_without_its_words(
    site: Site, reader: Page, reported: Reported
) -> None:
    site.dataset()
    reader.goto("/dataset/?q=browser&res_format=CSV")

    told = reported("search")
    assert told["format filters"] == ["CSV"]
    assert told["number of results"] == 0
    assert "search term" not in told


def test_a_click_on_a_linked_file_is_a_download(site: Site, reader: Page, reported: Reported) -> None:
    dataset = site.dataset()
    made = site.call("resource_create", package_id=dataset, url="https://example.org/table.csv", format="CSV")
    reader.goto(f"/dataset/{dataset}/resource/{made['id']}")
    reader.locator("a.resource-url-analytics").first.click()

    told = reported("resource download", resource_id=made["id"])
    assert told["event source"] == "web"


def test_a_share_is_reported(site: Site, reader: Page, reported: Reported) -> None:
    dataset = site.dataset()
    reader.goto(f"/dataset/{dataset}")
    reader.locator(".social a").first.click()

    told = reported("share", dataset_name=dataset)
    assert told["shared item"] == "dataset"
    assert told["share type"]


def test_a_click_on_a_link_to_another_site_is_reported(site: Site, reader: Page, reported: Reported) -> None:
    dataset = site.dataset()
    site.call("package_patch", id=dataset, notes="See [the story](https://news.example/story?id=5).")
    reader.goto(f"/dataset/{dataset}")
    reader.get_by_text("the story").click()

    told = reported("link click", dataset_name=dataset)
    assert (told["link label"], told["destination url"]) == ("the story", "https://news.example/story")


def test_a_visitor_who_objects_sends_nothing(browser: Browser, site: Site) -> None:
    context = browser.new_context(base_url=site.url)
    context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    page = context.new_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(f"/dataset/{site.dataset()}")
    page.wait_for_load_state("networkidle")
    context.close()

    assert [url for url in sent if url.endswith("/hdxjobs/events")] == []


def test_a_map_is_reported_from_its_making_to_its_use(site: Site, reader: Page, reported: Reported) -> None:
    made = site.upload("town.geojson", geojson((square(10, 10, 5), {"name": "Town"})), format="GeoJSON")
    site.finished(made)
    ready = reported("preview ready", resource_id=made.id)
    reader.goto(made.path)
    drawn_map(reader)
    viewed = reported("preview viewed", resource_id=made.id)
    reader.locator("[data-hdxjobs-map] canvas").click()
    used = reported("map interaction", resource_id=made.id)

    assert (ready["layers"], ready["features"]) == (1, 1)
    assert viewed["dataset name"] == made.dataset
    assert used["interaction type"] == "click"
