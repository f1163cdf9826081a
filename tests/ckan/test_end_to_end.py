"""A real worker: upload by the API, ``ckan jobs worker geo_q``, status until ready, tiles with all fields."""

from __future__ import annotations

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import psycopg2
import pytest
from ckan import model
from ckan.tests import factories
from workers import DEADLINE_S, settings, work, worker

from ckanext.hdxjobs.geopreview import sweep
from devstack.chaos import files
from devstack.chaos.origin import Origin

FIELDS = {"name": "Lac Kivu", "depth": 475.5, "rank": 7, "deep": True}
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[28.8, -2.5], [29.4, -2.5], [29.4, -1.6], [28.8, -1.6], [28.8, -2.5]]],
}
FEATURE = {"type": "Feature", "properties": FIELDS, "geometry": POLYGON}
COLLECTION = json.dumps({"type": "FeatureCollection", "features": [FEATURE] * 3}).encode()

KML = b"""<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>Lac Kivu</name>
<Point><coordinates>29.2,-1.7</coordinates></Point></Placemark></Document></kml>"""


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def editor(site: None) -> dict[str, str]:
    """An editor's token as headers, and a dataset's id under "package"."""
    user = factories.UserWithToken()
    org = factories.Organization(users=[{"name": user["name"], "capacity": "editor"}])
    package = factories.Dataset(owner_org=org["id"])
    model.Session.remove()
    return {"Authorization": user["token"], "package": package["id"]}


def create(app: Any, editor: dict[str, str], *, file: tuple[bytes, str], **fields: str) -> str:
    content, name = file
    data = {"package_id": editor["package"], "name": name, "upload": (io.BytesIO(content), name), **fields}
    headers = {"Authorization": editor["Authorization"]}
    answer = app.post(
        "/api/action/resource_create", data=data, headers=headers, content_type="multipart/form-data"
    )
    assert answer.status_code == 200
    return str(answer.json["result"]["id"])


def status(app: Any, resource_id: str) -> dict[str, Any]:
    found: dict[str, Any] = app.get(f"/api/action/hdx_geopreview_status?id={resource_id}").json["result"]
    return found


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def imports_under_way(geo_url: str) -> int:
    """How many imports hold their lock in the map database."""
    connection = psycopg2.connect(geo_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
        (count,) = cursor.fetchone() or (0,)
    connection.close()
    return int(count)


#: What one worker finds in its queue, in this order.
UPLOADS = {
    "lakes.geojson": COLLECTION,
    "lakes.kml": KML,
    "lakes.kmz": zipped("doc.kml", KML),
    "lakes.zip": zipped("lakes.geojson", COLLECTION),
    "cut.geojson": COLLECTION[:200],
    "letter.zip": zipped("letter.txt", b"Dear Sir"),
    "good.geojson": COLLECTION,
}


@pytest.fixture(scope="module")
def _worked() -> dict[str, list[dict[str, Any]]]:
    """A worker takes seconds to start: the tests look at what came of it."""
    return {}


@pytest.fixture
def told(
    _worked: dict[str, list[dict[str, Any]]], with_plugins: Any, app: Any, request: pytest.FixtureRequest
) -> dict[str, list[dict[str, Any]]]:
    """What the site tells of each upload, before and after a worker came to it."""
    if not _worked:
        editor = request.getfixturevalue("editor")
        ids = {name: create(app, editor, file=(content, name)) for name, content in UPLOADS.items()}
        before = {name: status(app, resource_id) for name, resource_id in ids.items()}
        work()
        _worked.update({name: [before[name], status(app, resource_id)] for name, resource_id in ids.items()})
    return _worked


def test_an_uploaded_file_becomes_tiles_that_hold_all_its_fields(
    app: Any, told: dict[str, list[dict[str, Any]]]
) -> None:
    before, after = told["lakes.geojson"]
    tiles = after["layers"][0]["tiles"].replace("http://test.ckan.net", "").format(z=0, x=0, y=0)
    features = mapbox_vector_tile.decode(app.get(tiles).data)["layer"]["features"]
    assert (before["state"], after["state"]) == ("queued", "ready")
    assert [feature["properties"] for feature in features] == [FIELDS] * 3


def test_several_files_of_several_formats_are_made_by_one_worker(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    formats = ("lakes.geojson", "lakes.kml", "lakes.kmz", "lakes.zip")
    assert [told[name][-1]["state"] for name in formats] == ["ready"] * 4


def test_bad_files_are_saved_and_explained_and_the_next_file_is_made_all_the_same(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    found = [told[name][-1] for name in ("cut.geojson", "letter.zip", "good.geojson")]
    codes = [each["error"] and each["error"]["code"] for each in found]
    assert [each["state"] for each in found] == ["failed", "unsupported", "ready"]
    assert codes == ["unreadable", "zip-without-layers", None]


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


def test_a_worker_killed_in_the_middle_costs_an_attempt_and_nothing_else(
    app: Any,
    dataset: dict[str, Any],
    call: Callable[..., Any],
    row: Callable[[str], dict[str, Any]],
    geo_url: str,
    monkeypatch: Any,
    origin: Origin,
    tmp_path: Path,
) -> None:
    """kill -9 of the worker alone: its horse must die with it, and the sweep must queue the file again.

    It has half of the file, and waits for the rest.
    """
    ini = settings(tmp_path, {"ckanext.hdxjobs.geopreview.link_hosts_allowed": origin.host})
    link = {"url": origin.url(files.long(1)), "format": "GeoJSON"}
    resource_id = call("resource_create", package_id=dataset["id"], **link)["id"]
    with origin.held() as asked, worker(ini=ini) as process:
        wait_for(asked.is_set)
        under_way = imports_under_way(geo_url)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not imports_under_way(geo_url))
    assert (under_way, row(resource_id)["state"]) == (1, "running")
    monkeypatch.setattr(sweep, "SILENT_S", 0)
    sweep.run()
    assert row(resource_id)["state"] == "queued"
    work(ini=ini)
    assert (status(app, resource_id)["state"], row(resource_id)["attempt"]) == ("ready", 2)
