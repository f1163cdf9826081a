"""Where a resource's bytes are: each kind of storage, and links."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckan.plugins as p
import pytest
from ckan.lib import uploader
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import source

Call = Callable[..., Any]

CONTENT = b'{"type": "Point", "coordinates": [29.2, -1.7]}'


def save(call: Call, dataset: dict[str, Any]) -> str:
    upload = FileStorage(io.BytesIO(CONTENT), filename="point.geojson")
    return str(call("resource_create", package_id=dataset["id"], upload=upload)["id"])


def read(resource_id: str) -> bytes:
    found = source.find(resource_id, 1)
    assert found.open_upload is not None
    assert found.link is None
    return b"".join(found.open_upload())


def test_an_upload_in_ckans_own_folder_is_read_from_disk(dataset: dict[str, Any], call: Call) -> None:
    assert read(save(call, dataset)) == CONTENT


@pytest.fixture
def file_keeper(
    dataset: Any, ckan_config: Any, monkeypatch: Any, tmp_path: Path, reset_storages: Callable[[], None]
) -> Iterator[Path]:
    """CKAN 2.12's storages: objects that stream and tell no path; the folder behind this one."""
    with monkeypatch.context() as patch:
        for key, value in {"type": "ckan:fs", "path": str(tmp_path), "initialize": True}.items():
            patch.setitem(ckan_config, f"ckan.files.storage.resources.{key}", value)
        reset_storages()
        assert isinstance(uploader.get_resource_uploader({}), uploader.FKResourceUpload)
        yield tmp_path
    reset_storages()


def test_an_upload_in_a_storage_that_streams_is_streamed(
    dataset: dict[str, Any], call: Call, file_keeper: Path
) -> None:
    assert read(save(call, dataset)) == CONTENT


def test_a_file_that_the_storage_has_lost_is_told_as_missing(
    dataset: dict[str, Any], call: Call, file_keeper: Path
) -> None:
    resource_id = save(call, dataset)
    for path in file_keeper.rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(FetchError, match="storage"):
        read(resource_id)


def test_a_file_that_the_folder_has_lost_is_told_as_missing(dataset: dict[str, Any], call: Call) -> None:
    resource_id = save(call, dataset)
    Path(uploader.ResourceUpload({"id": resource_id}).get_path(resource_id)).unlink()
    with pytest.raises(FetchError, match="storage"):
        read(resource_id)


class _Bucket:
    """What a plugin for cloud storage gives: no stream, and a path that is a key in a bucket."""

    def get_path(self, id: str) -> str:
        return f"bucket/{id}"

    def upload(self, id: str, max_size: int = 10) -> None:
        """The file is far away now."""


class _Cloud(p.SingletonPlugin):
    p.implements(p.IUploader, inherit=True)

    def get_resource_uploader(self, data_dict: dict[str, Any]) -> _Bucket:
        return _Bucket()


def test_an_upload_kept_by_a_cloud_plugin_is_fetched_by_its_link(
    dataset: dict[str, Any], call: Call, provide_plugin: Any
) -> None:
    url = "https://example.org/point.geojson"
    resource = call("resource_create", package_id=dataset["id"], url=url, url_type="upload", format="GeoJSON")
    provide_plugin("cloud", _Cloud)
    p.load("cloud")
    try:
        found = source.find(resource["id"], 1)
    finally:
        p.unload("cloud")
    assert found.open_upload is None
    assert (
        found.link
        == f"http://test.ckan.net/dataset/{dataset['id']}/resource/{resource['id']}/download/point.geojson"
    )


def test_a_linked_file_is_fetched_from_where_the_publisher_says(dataset: dict[str, Any], call: Call) -> None:
    url = "https://example.org/data/point.geojson?x=1"
    resource = call("resource_create", package_id=dataset["id"], url=url, format="GeoJSON")
    found = source.find(resource["id"], 1)
    assert (found.link, found.open_upload, found.file_name) == (url, None, "point.geojson")


def test_a_resource_that_is_gone_has_no_source(site: None) -> None:
    with pytest.raises(FetchError):
        source.find("nobody", 1)
