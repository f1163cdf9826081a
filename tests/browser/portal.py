"""The site under test, as a person and as a program use it."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from playwright.sync_api import Locator, Page

from devstack.chaos import family

#: Seconds within which whatever is waited for comes, on a slow machine.
PATIENCE_S = 120

Properties = dict[str, Any]


class Running(Protocol):
    popen: Any

    def said(self, lines: int = ...) -> str: ...


def wait_until(happened: Callable[[], bool], *, seconds: float) -> None:
    """Look again until it happened; AssertionError when it does not."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"still waiting after {seconds} s"
        time.sleep(0.1)


@dataclass(frozen=True)
class Resource:
    """A resource and its page."""

    id: str
    dataset: str

    @property
    def path(self) -> str:
        return f"/dataset/{self.dataset}/resource/{self.id}"


@dataclass(frozen=True)
class Site:
    """A running CKAN.

    :ivar token: the editor's API token
    """

    url: str
    editor: str
    password: str
    token: str
    web: Running
    worker: Running

    def call(self, action: str, *, upload: tuple[str, bytes] | None = None, **values: Any) -> Any:
        """An action as the editor; raises on any answer but success."""
        url = f"{self.url}/api/3/action/{action}"
        headers = {"Authorization": self.token}
        if upload:
            reply = requests.post(url, data=values, files={"upload": upload}, headers=headers, timeout=60)
        else:
            reply = requests.post(url, json=values, headers=headers, timeout=60)
        assert reply.ok, reply.text
        return reply.json()["result"]

    def dataset(self) -> str:
        """A new, empty public dataset; its name."""
        name = f"dataset-{uuid.uuid4().hex[:12]}"
        self.call("package_create", name=name, title="A dataset for the browser")
        return name

    def upload(self, name: str, content: bytes, **values: Any) -> Resource:
        """A new dataset with one uploaded file."""
        dataset = self.dataset()
        made = self.call("resource_create", upload=(name, content), package_id=dataset, name=name, **values)
        return Resource(made["id"], dataset)

    def finished(self, resource: Resource) -> dict[str, Any]:
        """The resource's status once nothing happens any more."""
        status: dict[str, Any] = {}

        def settled() -> bool:
            status.update(self.call("hdx_geopreview_status", id=resource.id))
            return status["state"] in {"ready", "failed", "unsupported"}

        wait_until(settled, seconds=PATIENCE_S)
        return status

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """Jobs wait meanwhile; the last one, which would take more, has ended."""
        worker = self.worker.popen.pid
        os.kill(worker, signal.SIGSTOP)
        try:
            wait_until(lambda: not family.horses([worker]), seconds=PATIENCE_S)
            yield
        finally:
            os.kill(worker, signal.SIGCONT)


def geojson(*features: tuple[dict[str, Any], Properties]) -> bytes:
    """A file of (geometry, properties)."""
    members = [
        {"type": "Feature", "geometry": geometry, "properties": values} for geometry, values in features
    ]
    return json.dumps({"type": "FeatureCollection", "features": members}).encode()


def square(west: float, south: float, size: float) -> dict[str, Any]:
    """A polygon's geometry; degrees."""
    east, north = west + size, south + size
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def point(longitude: float, latitude: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [longitude, latitude]}


def drawn_map(page: Page) -> Locator:
    """The map, once it stands."""
    ready = page.locator("[data-hdxjobs-map][data-state=ready]")
    ready.wait_for(timeout=PATIENCE_S * 1000)
    ready.scroll_into_view_if_needed()
    return ready


def features_in_view(page: Page) -> list[Properties]:
    """The properties of the features that the map draws, from the map itself."""
    found: list[Properties] = page.locator("[data-hdxjobs-map]").evaluate(
        """async element => {
            const map = element.hdxjobsMap;
            // What was changed a moment ago is drawn in the next frame.
            if (!map.loaded()) await new Promise((drawn) => map.once('idle', drawn));
            const layers = map.getStyle().layers.filter((layer) => layer['source-layer'] === 'layer');
            return map.queryRenderedFeatures({layers: layers.map((layer) => layer.id)})
                .map((feature) => feature.properties);
        }"""
    )
    return found


def await_feature(page: Page, **properties: Any) -> None:
    """Until the map draws one with these."""
    wanted = properties.items()
    wait_until(lambda: any(wanted <= found.items() for found in features_in_view(page)), seconds=PATIENCE_S)


def click_at(page: Page, longitude: float, latitude: float) -> None:
    """Click the map where a place is."""
    x, y = page.locator("[data-hdxjobs-map]").evaluate(
        "(element, place) => { const {x, y} = element.hdxjobsMap.project(place); return [x, y]; }",
        [longitude, latitude],
    )
    page.locator("[data-hdxjobs-map] canvas").click(position={"x": x, "y": y})
