"""From an upload to a Martin that runs beside CKAN, and back: the real server, as ``./dev peers`` builds it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import makers
import pytest
from ckan import model
from ckan.tests import factories
from layer_paths import tile_path
from tile_servers import Running, role, running, until
from werkzeug.datastructures import FileStorage
from workers import settings, work

from devstack.peers import MARTIN

Call = Callable[..., Any]

pytestmark = pytest.mark.ckan_config("ckanext.hdxjobs.tiles.share", True)


@pytest.fixture(scope="module")
def martin(geo_admin_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Started before there is a layer, and never again."""
    with role(geo_admin_url) as dsn, running(MARTIN, dsn, tmp_path_factory.mktemp("martin")) as started:
        yield started


def test_an_uploaded_file_is_a_layer_of_martin_as_soon_as_it_is_one_of_ckan(
    martin: Running, site: None, app: Any, call: Call, tmp_path: Path
) -> None:
    package = factories.Dataset(owner_org=factories.Organization()["id"])
    upload = FileStorage(io.BytesIO(makers.towns()), filename="towns.geojson")
    resource = call("resource_create", package_id=package["id"], name="Towns", upload=upload)
    model.Session.remove()
    work(ini=settings(tmp_path, {"ckanext.hdxjobs.tiles.share": "true"}))
    layer = call("hdx_geopreview_status", id=resource["id"])["layers"][0]
    assert until(lambda: martin.tile(layer["layer_id"]).status_code == 200)
    assert martin.tile(layer["layer_id"]).content == app.get(tile_path(layer)).data


def test_martin_has_no_tile_of_a_dataset_that_was_made_private(
    martin: Running, layer: dict[str, Any], call: Call
) -> None:
    assert until(lambda: martin.tile(layer["layer_id"]).status_code == 200)
    call("package_patch", id=layer["package_id"], private=True)
    assert until(lambda: martin.tile(layer["layer_id"]).status_code >= 400)
    assert until(lambda: layer["layer_id"] not in martin.layers())
