"""Actions and buttons that change something, and what tiles say afterwards."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import makers
import pytest
from ckan import model
from ckan.tests import factories
from layer_paths import paths, tile_path
from werkzeug.datastructures import FileStorage

from ckanext.hdxjobs.geopreview import job

Call = Callable[..., Any]


@pytest.mark.ckan_config("ckan.root_path", "/portal/{{LANG}}")
def test_tile_urls_know_the_root_path_and_no_language(layer: dict[str, Any]) -> None:
    assert layer["tiles"].startswith("http://test.ckan.net/portal/hdxjobs/tiles/")


def test_a_deleted_resource_loses_its_tiles_at_once(layer: dict[str, Any], app: Any, call: Call) -> None:
    call("resource_delete", id=layer["resource_id"])
    model.Session.remove()
    assert [app.get(path).status_code for path in paths(layer).values()] == [404, 404, 404, 404]


def test_a_preview_that_an_editor_removed_is_404_for_a_sysadmin_too(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call
) -> None:
    call("hdx_geopreview_delete", id=layer["resource_id"])
    model.Session.remove()
    assert app.get(tile_path(layer), headers=people["sysadmin"]).status_code == 404


def test_tilejson_credits_organization_and_licence_as_text(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call
) -> None:
    call("organization_patch", id=people["org"]["id"], title="Maps & <b>More</b>")
    call("package_patch", id=layer["package_id"], license_id="cc-by")
    told = app.get(paths(layer)["tilejson"]).json
    assert told["attribution"] == "Maps &amp; &lt;b&gt;More&lt;/b&gt;, Creative Commons Attribution"


def test_tilejson_of_a_dataset_without_organization_credits_its_author(
    site: None, app: Any, call: Call
) -> None:
    package = call("package_create", name="lone", author="Amina")
    upload = FileStorage(io.BytesIO(makers.towns()), filename="towns.geojson")
    resource = call("resource_create", package_id=package["id"], upload=upload)
    job.run_preview(resource["id"], 1)
    layer = call("hdx_geopreview_status", id=resource["id"])["layers"][0]
    model.Session.remove()
    assert app.get(f"/hdxjobs/tiles/{layer['layer_id']}.json").json["attribution"] == "Amina"


@pytest.mark.parametrize("visitor", ["editor", "sysadmin"])
def test_editors_submit_and_delete(
    layer: dict[str, Any], people: dict[str, Any], app: Any, visitor: str
) -> None:
    answers = [
        app.post(f"/api/action/{action}", json={"id": layer["resource_id"]}, headers=people[visitor])
        for action in ("hdx_geopreview_submit", "hdx_geopreview_delete")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_the_status_of_a_document_says_that_it_is_not_shown_on_a_map(
    dataset: dict[str, Any], call: Call
) -> None:
    resource = call(
        "resource_create", package_id=dataset["id"], url="https://example.org/a.pdf", format="PDF"
    )
    status = call("hdx_geopreview_status", id=resource["id"])
    assert (status["state"], status["generation"], status["layers"]) == ("unsupported", 0, [])


def test_submitting_the_same_file_again_needs_force(layer: dict[str, Any], call: Call) -> None:
    calm = call("hdx_geopreview_submit", id=layer["resource_id"])
    forced = call("hdx_geopreview_submit", id=layer["resource_id"], force=True)
    assert (calm["state"], calm["generation"]) == ("ready", 1)
    assert (forced["state"], forced["generation"]) == ("queued", 2)


def test_a_removed_preview_comes_back_with_a_new_file_but_not_with_a_rename(
    layer: dict[str, Any], call: Call
) -> None:
    removed = call("hdx_geopreview_delete", id=layer["resource_id"])
    call("resource_patch", id=layer["resource_id"], name="Renamed")
    renamed = call("hdx_geopreview_status", id=layer["resource_id"])
    call(
        "resource_patch",
        id=layer["resource_id"],
        upload=FileStorage(io.BytesIO(b"{}"), filename="places.geojson"),
    )
    replaced = call("hdx_geopreview_status", id=layer["resource_id"])
    assert [removed["state"], renamed["state"], replaced["state"]] == ["deleted", "deleted", "queued"]


def test_a_removed_preview_comes_back_when_somebody_submits_it(layer: dict[str, Any], call: Call) -> None:
    call("hdx_geopreview_delete", id=layer["resource_id"])
    asked = call("hdx_geopreview_submit", id=layer["resource_id"])
    assert (asked["state"], asked["generation"]) == ("queued", 2)


def test_a_document_is_submitted_only_by_force(dataset: dict[str, Any], call: Call) -> None:
    resource = call(
        "resource_create", package_id=dataset["id"], url="https://example.org/a.pdf", format="PDF"
    )
    with pytest.raises(tk.ValidationError):
        call("hdx_geopreview_submit", id=resource["id"])
    assert call("hdx_geopreview_submit", id=resource["id"], force=True)["state"] == "queued"


@pytest.fixture
def editor_in(people: dict[str, Any], layer: dict[str, Any], browser: Any) -> dict[str, Any]:
    """An editor who is logged in by cookie, as in a browser."""
    user = factories.User(password="RandomPassword123")
    tk.get_action("organization_member_create")(
        {"ignore_auth": True, "user": ""},
        {"id": people["org"]["id"], "username": user["name"], "role": "editor"},
    )
    model.Session.remove()
    browser.log_in(user, "RandomPassword123")
    return layer


def _retry_path(layer: dict[str, Any]) -> str:
    return f"/dataset/{layer['package_id']}/resource/{layer['resource_id']}/preview-retry"


@pytest.mark.ckan_config("WTF_CSRF_ENABLED", True)
def test_retry_without_a_csrf_token_changes_nothing(
    editor_in: dict[str, Any], browser: Any, call: Call
) -> None:
    answer = browser.post(_retry_path(editor_in), data={}, follow_redirects=False)
    assert answer.status_code == 400
    assert call("hdx_geopreview_status", id=editor_in["resource_id"])["generation"] == 1


@pytest.mark.ckan_config("WTF_CSRF_ENABLED", True)
def test_retry_asks_browsers_for_the_csrf_token_also_after_a_program_called_it(
    editor_in: dict[str, Any], people: dict[str, Any], app: Any, browser: Any, call: Call
) -> None:
    """CKAN exempts a page for everybody once somebody has called it with an API token; 2.11 all of an extension's."""
    program = app.test_client(use_cookies=False)
    by_token = program.post(_retry_path(editor_in), headers=people["editor"], follow_redirects=False)
    by_cookie = browser.post(_retry_path(editor_in), data={}, follow_redirects=False)
    assert (by_token.status_code, by_cookie.status_code) == (302, 400)
    assert call("hdx_geopreview_status", id=editor_in["resource_id"])["generation"] == 2


@pytest.mark.ckan_config("WTF_CSRF_ENABLED", True)
def test_retry_with_the_pages_csrf_token_queues_a_new_generation(
    editor_in: dict[str, Any], browser: Any, call: Call
) -> None:
    page = browser.get("/dataset/new").get_data(as_text=True)
    token = re.search(
        r'name="_csrf_token"[^>]*content="([^"]+)"|value="([^"]+)"[^>]*name="_csrf_token"', page
    )
    assert token is not None
    data = {"_csrf_token": token.group(1) or token.group(2)}
    answer = browser.post(
        _retry_path(editor_in), data=data, headers={"X-Requested-With": "fetch"}, follow_redirects=False
    )
    assert answer.status_code == 204
    assert call("hdx_geopreview_status", id=editor_in["resource_id"])["generation"] == 2


def test_retry_by_a_form_leads_back_to_the_resource_page(
    layer: dict[str, Any], people: dict[str, Any], app: Any
) -> None:
    answer = app.post(_retry_path(layer), headers=people["editor"], follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith(f"/resource/{layer['resource_id']}")
