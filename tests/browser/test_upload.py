"""The main road: a file goes in through CKAN's own form, a map comes out on its page."""

from __future__ import annotations

import io
import time

from PIL import Image
from playwright.sync_api import Page, expect
from portal import (
    PATIENCE_S,
    Site,
    await_feature,
    click_at,
    drawn_map,
    features_in_view,
    geojson,
    point,
    square,
    wait_until,
)

CLINICS = geojson(
    (square(36, -2, 2), {"name": "Nairobi area", "beds": 120}),
    ({"type": "LineString", "coordinates": [[35, 1], [39, 1.5]]}, {"name": "A104", "beds": None}),
    (point(37, 2), {"name": "عيادة", "beds": 7}),
)
#: The first colour of the palette in style.js, for points, where it is drawn opaque.
BLUE = (0, 0x63, 0xAB)


def upload_by_form(page: Page, dataset: str, name: str, content: bytes) -> None:
    page.goto(f"/dataset/{dataset}/resource/new")
    page.set_input_files("#field-resource-upload", {"name": name, "mimeType": "", "buffer": content})
    page.fill("#field-name", name)
    page.click("button[name=save][value=go-metadata], button[name=save][value=again]")


def test_an_upload_by_the_form_becomes_a_map_without_a_reload(site: Site, editor: Page) -> None:
    dataset = site.dataset()
    with site.without_worker():
        upload_by_form(editor, dataset, "clinics.geojson", CLINICS)
        resource = site.call("package_show", id=dataset)["resources"][0]["id"]
        editor.goto(f"/dataset/{dataset}/resource/{resource}")
        expect(editor.locator("[data-hdxjobs-status]")).to_have_attribute("data-state", "queued")
        editor.evaluate("window.stillTheSamePage = true")

    drawn_map(editor)

    assert editor.evaluate("window.stillTheSamePage") is True
    assert {feature["name"] for feature in features_in_view(editor)} == {"Nairobi area", "A104", "عيادة"}


def painted(picture: bytes) -> int:
    """Points of a picture that have the colour of points of a map."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    return sum(
        count
        for count, colour in image.getcolors(maxcolors=1 << 24) or []
        if all(abs(one - other) < 12 for one, other in zip(colour, BLUE, strict=True))
    )


def test_features_are_painted_on_the_canvas(site: Site, visitor: Page) -> None:
    resource = site.upload(
        "points.geojson", geojson(*[(point(30 + i / 10, 10), {"i": i}) for i in range(30)])
    )
    site.finished(resource)
    visitor.goto(resource.path)

    view = drawn_map(visitor)

    wait_until(lambda: painted(view.screenshot()) > 200, seconds=PATIENCE_S)


def test_a_click_tells_the_attributes_of_a_feature(site: Site, visitor: Page) -> None:
    resource = site.upload("clinics.geojson", CLINICS)
    site.finished(resource)
    visitor.goto(resource.path)
    drawn_map(visitor)

    click_at(visitor, 37, -1)

    popup = visitor.locator(".hdxjobs-popup")
    expect(popup.locator("h3")).to_have_text("Nairobi area")
    expect(popup.locator("tr", has_text="beds").locator("td")).to_have_text("120")


def test_layers_of_one_file_can_be_hidden(site: Site, visitor: Page) -> None:
    resource = site.upload("two.kml", TWO_FOLDERS)
    site.finished(resource)
    visitor.goto(resource.path)
    drawn_map(visitor)

    visitor.get_by_label("Wells").uncheck()

    assert {feature["Name"] for feature in features_in_view(visitor)} == {"School 1"}


def test_a_new_file_takes_the_old_ones_place_on_the_open_page(site: Site, visitor: Page) -> None:
    resource = site.upload("one.geojson", geojson((point(10, 10), {"name": "before"}), (point(11, 11), {})))
    site.finished(resource)
    with site.without_worker():
        after = geojson((point(10, 10), {"name": "after"}), (point(11, 11), {}))
        site.call("resource_update", upload=("one.geojson", after), id=resource.id, name="one.geojson")
        visitor.goto(resource.path)
        drawn_map(visitor)
        expect(visitor.locator("[data-hdxjobs-status]")).to_have_attribute("data-pending", "true")

    expect(visitor.locator("[data-hdxjobs-status]")).to_have_attribute("data-state", "ready")
    drawn_map(visitor)

    await_feature(visitor, name="after")


def test_who_looks_at_a_replaced_file_is_told(site: Site, visitor: Page) -> None:
    resource = site.upload("one.geojson", geojson((square(10, 10, 2), {"name": "before"})))
    site.finished(resource)
    visitor.goto(resource.path)
    drawn_map(visitor)
    after = geojson((square(10, 10, 2), {"name": "after"}))
    site.call("resource_update", upload=("one.geojson", after), id=resource.id, name="one.geojson")
    site.finished(resource)

    visitor.clock.set_fixed_time(time.time() * 1000 + 120_000)
    visitor.get_by_role("button", name="Zoom out").click()

    expect(visitor.get_by_text("It may have been replaced")).to_be_visible()


def _folder(name: str, place: str, longitude: int) -> str:
    spot = f"<Point><coordinates>{longitude},10</coordinates></Point>"
    return f"<Folder><name>{name}</name><Placemark><name>{place}</name>{spot}</Placemark></Folder>"


TWO_FOLDERS = (
    '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
    + _folder("Schools", "School 1", 10)
    + _folder("Wells", "Well 1", 12)
    + "</Document></kml>"
).encode()
