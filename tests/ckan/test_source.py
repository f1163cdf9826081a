"""Where a resource's bytes are: each kind of storage, and links."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
from ckan.lib import uploader
from rq.timeouts import JobTimeoutException
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import source
from ckanext.hdxjobs.geopreview.values import Link

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


needs_storages = pytest.mark.skipif(
    not tk.check_ckan_version(min_version="2.12"), reason="storages came with CKAN 2.12"
)


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


@needs_storages
def test_an_upload_in_a_storage_that_streams_is_streamed(
    dataset: dict[str, Any], call: Call, file_keeper: Path
) -> None:
    assert read(save(call, dataset)) == CONTENT


@needs_storages
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


class _Uploader:
    """What CKAN asks of every uploader."""

    bucket_name = container_name = "portal"

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = objects

    def upload(self, id: str, max_size: int = 10) -> None:
        """The file is far away now."""

    def get_path(self, id: str, filename: str) -> str:
        return f"resources/{id}/{filename}"

    def found(self, key: str, missing: Exception) -> Any:
        value = self.objects.get(key.rpartition("/")[2], missing)
        if isinstance(value, Exception):
            raise value
        return value


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, code: str) -> None:
        super().__init__("https://storage.internal/portal?Signature=hush")
        self.response = {"Error": {"Code": code}}


class ObjectDoesNotExistError(Exception):
    """As libcloud's."""


class ResourceNotFoundError(Exception):
    """As Azure's."""


class S3(_Uploader):
    """ckanext-s3filestore's S3ResourceUploader, and boto3's client."""

    def get_s3_client(self) -> S3:
        return self

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 as boto3 calls them
        assert Bucket == "portal"
        return {"Body": _Body(self.found(Key, ClientError("NoSuchKey")))}


class Libcloud(_Uploader):
    """ckanext-cloudstorage's ResourceCloudStorage, and libcloud's container."""

    @property
    def container(self) -> Libcloud:
        return self

    def path_from_filename(self, rid: str, filename: str) -> str:
        return f"resources/{rid}/{filename}"

    def get_object(self, object_name: str) -> _Body:
        return _Body(self.found(object_name, ObjectDoesNotExistError()))


class Azure(_Uploader):
    """ckanext-azurefilestore's AzureResourceUploader, and Azure's clients."""

    def get_blob_service_client(self) -> Azure:
        return self

    def get_blob_client(self, *, container: str, blob: str) -> Azure:
        assert container == "portal"
        self.blob = blob
        return self

    def download_blob(self) -> _Body:
        return _Body(self.found(self.blob, ResourceNotFoundError()))


class Unheard(_Uploader):
    """A plugin that nobody here knows."""


class _Body:
    """A file that streams, by the names that the three libraries give that."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def chunks(self) -> Iterator[bytes]:
        yield self.content[:10]
        yield self.content[10:]

    def iter_chunks(self, chunk_size: int) -> Iterator[bytes]:
        return self.chunks()

    def as_stream(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self.chunks()


class _Cloud(p.SingletonPlugin):
    p.implements(p.IUploader, inherit=True)

    stored: Any = None

    def get_resource_uploader(self, data_dict: dict[str, Any]) -> Any:
        return _Cloud.stored


@pytest.fixture
def kept(
    dataset: dict[str, Any], call: Call, provide_plugin: Any, monkeypatch: Any
) -> Iterator[Callable[..., str]]:
    """An upload that a plugin keeps; its resource's id."""

    def keep(kind: type[_Uploader], content: Any = CONTENT) -> str:
        url = "https://example.org/point.geojson"
        resource = call(
            "resource_create", package_id=dataset["id"], url=url, url_type="upload", format="GeoJSON"
        )
        monkeypatch.setattr(_Cloud, "stored", kind({} if content is None else {"point.geojson": content}))
        provide_plugin("cloud", _Cloud)
        p.load("cloud")
        return str(resource["id"])

    yield keep
    p.unload("cloud")


CLOUDS = pytest.mark.parametrize("kind", [S3, Libcloud, Azure])


@CLOUDS
def test_an_upload_kept_by_a_cloud_plugin_is_read_by_its_client(
    kept: Callable[..., str], kind: type[_Uploader]
) -> None:
    assert read(kept(kind)) == CONTENT


@CLOUDS
def test_a_file_that_the_cloud_has_lost_is_told_as_missing(
    kept: Callable[..., str], kind: type[_Uploader]
) -> None:
    resource_id = kept(kind, None)
    with pytest.raises(FetchError) as caught:
        read(resource_id)
    assert caught.value.code == "file-missing"


@CLOUDS
def test_a_cloud_in_trouble_may_be_well_later(
    kept: Callable[..., str], kind: type[_Uploader], caplog: Any
) -> None:
    resource_id = kept(kind, ClientError("SlowDown"))
    with pytest.raises(FetchError) as caught:
        read(resource_id)
    assert (caught.value.code, caught.value.failure.retryable) == ("storage-unavailable", True)
    assert "hush" not in caplog.text + repr((caught.value, caught.value.__cause__))
    assert "ClientError" in caplog.text


def test_a_cloud_that_breaks_off_may_be_well_later(kept: Callable[..., str], monkeypatch: Any) -> None:
    def broken(self: _Body) -> Iterator[bytes]:
        yield self.content[:10]
        raise ConnectionError

    resource_id = kept(S3)
    monkeypatch.setattr(_Body, "chunks", broken)
    with pytest.raises(FetchError) as caught:
        read(resource_id)
    assert caught.value.code == "storage-unavailable"


def test_a_job_that_runs_out_of_time_while_it_reads_is_not_the_storages_fault(
    kept: Callable[..., str],
) -> None:
    resource_id = kept(S3, JobTimeoutException())
    with pytest.raises(JobTimeoutException):
        read(resource_id)


def test_an_upload_that_this_account_may_not_read_is_told_as_such(kept: Callable[..., str]) -> None:
    resource_id = kept(S3, PermissionError())
    with pytest.raises(FetchError) as caught:
        read(resource_id)
    assert (caught.value.code, caught.value.failure.retryable) == ("file-unreadable", False)


def test_an_upload_kept_by_an_unheard_of_plugin_is_asked_of_the_site(kept: Callable[..., str]) -> None:
    resource_id = kept(Unheard)
    found = source.find(resource_id, 1)
    assert found.open_upload is None
    assert found.link is not None
    assert found.link.url == f"http://test.ckan.net/hdxjobs/upload/{resource_id}"
    assert found.link.is_own


@pytest.mark.ckan_config("ckanext.hdxjobs.internal_base_url", "http://ckan:5000/")
def test_the_site_may_have_an_address_of_its_own_for_workers(kept: Callable[..., str]) -> None:
    resource_id = kept(Unheard)
    found = source.find(resource_id, 1).link
    assert found is not None
    assert found.url == f"http://ckan:5000/hdxjobs/upload/{resource_id}"


def test_a_linked_file_is_fetched_from_where_the_publisher_says(dataset: dict[str, Any], call: Call) -> None:
    url = "https://example.org/data/point.geojson?x=1"
    resource = call("resource_create", package_id=dataset["id"], url=url, format="GeoJSON")
    found = source.find(resource["id"], 1)
    assert (found.link, found.open_upload, found.file_name) == (Link(url), None, "point.geojson")


def test_a_resource_that_is_gone_has_no_source(site: None) -> None:
    with pytest.raises(FetchError):
        source.find("nobody", 1)
