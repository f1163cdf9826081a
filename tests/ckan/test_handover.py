"""The site's door for workers: uploads that a storage plugin only gives out as downloads."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import flask
import pytest
from ckan.tests import factories
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server

from ckanext.hdxjobs import config
from ckanext.hdxjobs.geopreview import job, permit, source, storages

Call = Callable[..., Any]
CONTENT = b'{"type": "Point", "coordinates": [29.2, -1.7]}'


@pytest.fixture
def secret_upload(people: dict[str, Any], call: Call) -> str:
    """An upload in a private dataset; its resource's id."""
    package = factories.Dataset(owner_org=people["org"]["id"], private=True)
    upload = FileStorage(io.BytesIO(CONTENT), filename="point.geojson")
    return str(call("resource_create", package_id=package["id"], upload=upload)["id"])


def ask(app: Any, resource_id: str, shown: str | None = None, **kw: Any) -> Any:
    if shown is None:
        secret = config.site_settings().secret
        shown = permit.issue(resource_id, secret=secret, now_s=time.time())
    headers = {permit.HEADER: shown}
    return app.get(f"/hdxjobs/upload/{resource_id}", headers=headers, follow_redirects=False, **kw)


def test_a_worker_with_a_permit_gets_an_upload_of_a_private_dataset(app: Any, secret_upload: str) -> None:
    answer = ask(app, secret_upload)
    assert (answer.status_code, answer.data) == (200, CONTENT)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_worker_whose_clock_is_wrong_has_a_good_permit(
    app: Any, secret_upload: str, monkeypatch: Any, hours: int
) -> None:
    right = time.time
    with monkeypatch.context() as patch:
        patch.setattr(storages, "opener", lambda _: None)
        patch.setattr(time, "time", lambda: right() + hours * 3600)
        link = source.find(secret_upload, 1).link
    assert link is not None
    assert ask(app, secret_upload, link.headers[permit.HEADER]).status_code == 200


def test_nobody_may_keep_what_a_worker_got(app: Any, secret_upload: str) -> None:
    caching = ask(app, secret_upload).headers["Cache-Control"]
    assert "no-store" in caching
    assert "public" not in caching


def test_a_permit_logs_nobody_in(app: Any, secret_upload: str) -> None:
    answer = ask(app, secret_upload)
    assert "Set-Cookie" not in answer.headers
    assert app.get("/ckan-admin/", follow_redirects=False).status_code != 200


@pytest.mark.parametrize("shown", ["", "1800000000." + "0" * 64])
def test_without_a_permit_nobody_learns_whether_an_upload_is_there(
    app: Any, secret_upload: str, shown: str
) -> None:
    theirs, nothing = ask(app, secret_upload, shown), ask(app, "no-such-resource", shown)
    assert (theirs.status_code, nothing.status_code) == (403, 403)
    assert theirs.data == nothing.data


def test_even_a_sysadmin_needs_a_permit(app: Any, secret_upload: str, people: dict[str, Any]) -> None:
    answer = app.get(f"/hdxjobs/upload/{secret_upload}", headers=people["sysadmin"])
    assert answer.status_code == 403


def test_a_permit_opens_no_other_upload(app: Any, secret_upload: str) -> None:
    other = permit.issue("other", secret=config.site_settings().secret, now_s=time.time())
    assert ask(app, secret_upload, other).status_code == 403


def test_a_resource_that_is_only_a_link_is_not_followed(
    app: Any, dataset: dict[str, Any], call: Call
) -> None:
    resource = call("resource_create", package_id=dataset["id"], url="http://169.254.169.254/latest")
    answer = ask(app, resource["id"])
    assert (answer.status_code, answer.headers.get("Location")) == (404, None)


def test_a_resource_that_is_gone_is_not_found(app: Any, secret_upload: str, call: Call) -> None:
    call("resource_delete", id=secret_upload)
    assert ask(app, secret_upload).status_code == 404


class _Cloud(p.SingletonPlugin):
    """A storage plugin with a download page of its own, as they have."""

    p.implements(p.IBlueprint)

    def get_blueprint(self) -> list[flask.Blueprint]:
        blueprint = flask.Blueprint("cloud_resource", __name__)
        blueprint.add_url_rule(
            "/dataset/<id>/resource/<resource_id>/download",
            view_func=lambda id, resource_id: flask.redirect(f"https://storage.example/{resource_id}?key=x"),
        )
        return [blueprint]


@pytest.mark.with_plugins({"cloud_pages": _Cloud})
def test_the_download_page_of_a_storage_plugin_is_asked_before_ckans(secret_upload: str, app: Any) -> None:
    answer = ask(app, secret_upload)
    assert answer.headers["Location"] == f"https://storage.example/{secret_upload}?key=x"


class _Vault(p.SingletonPlugin):
    """A storage plugin that nobody knows: its files come out of its download page and nowhere else."""

    p.implements(p.IBlueprint)
    p.implements(p.IUploader, inherit=True)

    def get_resource_uploader(self, data_dict: dict[str, Any]) -> _Vault:
        return self

    def upload(self, id: str, max_size: int = 10) -> None:
        """The file is far away now."""

    def get_blueprint(self) -> list[flask.Blueprint]:
        blueprint = flask.Blueprint("vault_resource", __name__)
        blueprint.add_url_rule("/dataset/<id>/resource/<resource_id>/download", view_func=self.download)
        return [blueprint]

    def download(self, id: str, resource_id: str) -> flask.Response:
        tk.check_access("resource_show", {"user": tk.current_user.name}, {"id": resource_id})
        return flask.Response(CONTENT, headers={"Content-Disposition": "attachment; filename=vault.bin"})


@pytest.fixture
def served(app: Any, ckan_config: Any, monkeypatch: Any) -> Iterator[None]:
    """The site on a real port of 127.0.0.1, where workers find it."""
    server = make_server("127.0.0.1", 0, app.flask_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(ckan_config, "ckanext.hdxjobs.internal_base_url", url)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.with_plugins({"vault": _Vault})
def test_a_private_upload_of_an_unheard_of_plugin_becomes_a_map(
    people: dict[str, Any], call: Call, served: None
) -> None:
    package = factories.Dataset(owner_org=people["org"]["id"], private=True)
    resource = call(
        "resource_create", package_id=package["id"], url="point.geojson", url_type="upload", format="GeoJSON"
    )
    job.run_preview(resource["id"], 1)
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["error"]) == ("ready", None)
    assert [layer["name"] for layer in status["layers"]] == ["point"]
