"""Who may see tiles is asked once for many of them, and heard of within two seconds when it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import psycopg2
import pytest
from layer_paths import paths, tile_path

from ckanext.hdxjobs.errors import PoolBusy
from ckanext.hdxjobs.geopreview import gate
from ckanext.hdxjobs.geopreview.tiles import TileReader

Call = Callable[..., Any]

#: Seconds in which whatever takes a right away has ended all tiles.
PROMISED_S = 2.0


class Clock:
    """Of what is remembered; it stands still until a test moves it on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """With nothing remembered."""
    standing = Clock()
    monkeypatch.setattr(gate.admissions, "_clock", standing)
    gate.admissions.forget()
    yield standing
    gate.admissions.forget()


@pytest.mark.parametrize("visitor", ["anonymous", "stranger"])
def test_a_dataset_that_becomes_private_gives_no_more_tiles_within_two_seconds(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call, clock: Clock, visitor: str
) -> None:
    headers = people[visitor]
    etag = app.get(tile_path(layer), headers=headers).headers["ETag"]
    call("package_patch", id=layer["package_id"], private=True)
    clock.now_s += PROMISED_S
    assert app.get(tile_path(layer), headers=headers | {"If-None-Match": etag}).status_code == 404
    assert app.get(paths(layer)["tilejson"], headers=headers).status_code == 404


def test_a_member_who_is_removed_gets_no_more_tiles_within_two_seconds(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call, clock: Clock
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    headers = people["member"]
    assert app.get(tile_path(layer), headers=headers).status_code == 200
    (member,) = _members(call, people["org"]["id"])
    dismissed = app.post(
        "/api/action/organization_member_delete",
        json={"id": people["org"]["id"], "username": member},
        headers=people["sysadmin"],
    )
    assert dismissed.status_code == 200
    clock.now_s += PROMISED_S
    assert app.get(tile_path(layer), headers=headers).status_code == 404


def test_a_layer_that_is_removed_gives_no_more_tiles_within_two_seconds(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call, clock: Clock
) -> None:
    assert app.get(tile_path(layer)).status_code == 200
    call("hdx_geopreview_delete", id=layer["resource_id"])
    clock.now_s += PROMISED_S
    assert app.get(tile_path(layer), headers=people["sysadmin"]).status_code == 404


def test_what_one_visitor_may_see_is_not_shown_to_another(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    seen = {
        visitor: app.get(tile_path(layer), headers=people[visitor]).status_code
        for visitor in ("member", "anonymous", "stranger", "editor", "anonymous")
    }
    assert seen == {"member": 200, "anonymous": 404, "stranger": 404, "editor": 200}


def test_a_refusal_is_not_remembered(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    assert app.get(tile_path(layer)).status_code == 404
    call("package_patch", id=layer["package_id"], private=False)
    assert app.get(tile_path(layer)).status_code == 200


def _members(call: Call, org_id: str) -> set[str]:
    return {
        user_id
        for user_id, _, capacity in call("member_list", id=org_id, object_type="user")
        if capacity == "Member"
    }


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those for whom CKAN was asked about a resource."""
    asked = []
    check = tk.check_access

    def counted(action: str, context: Any, data_dict: Any = None) -> Any:
        if action == "resource_show":
            asked.append(context["user"])
        return check(action, context, data_dict)

    monkeypatch.setattr(tk, "check_access", counted)
    return asked


def test_ckan_decides_once_for_the_tiles_of_a_map(
    layer: dict[str, Any], app: Any, decisions: list[str]
) -> None:
    for x in range(4):
        for y in range(4):
            assert app.get(tile_path(layer, f"2/{x}/{y}")).status_code in (200, 204)
    assert decisions == [""]


def test_ckan_decides_anew_once_a_second_is_over(
    layer: dict[str, Any], app: Any, decisions: list[str], clock: Clock
) -> None:
    for clock.now_s in (100.0, 100.9, 101.1):
        app.get(tile_path(layer))
    assert decisions == ["", ""]


def test_ckan_decides_whenever_tilejson_is_asked_for(
    layer: dict[str, Any], app: Any, decisions: list[str]
) -> None:
    for _ in range(2):
        assert app.get(paths(layer)["tilejson"]).status_code == 200
    assert decisions == ["", ""]


@pytest.mark.parametrize(
    "headers", [{}, {"Accept-Encoding": "gzip"}, {"Origin": "https://example.org"}, {"If-None-Match": "*"}]
)
def test_a_tile_from_memory_is_answered_as_one_that_was_asked_of_ckan(
    layer: dict[str, Any], app: Any, headers: dict[str, str]
) -> None:
    asked = app.get(tile_path(layer), headers=headers)
    kept = app.get(tile_path(layer), headers=headers)
    assert (kept.status_code, kept.data, dict(kept.headers)) == (
        asked.status_code,
        asked.data,
        dict(asked.headers),
    )


@pytest.fixture
def nobody_reaches_ckan(layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    let_in_and_out_of_reach_of_ckan(layer, app, monkeypatch)


def let_in_and_out_of_reach_of_ckan(layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment after somebody was let in to the layer."""
    app.get(tile_path(layer))
    monkeypatch.setattr(app.flask_app, "dispatch_request", lambda: pytest.fail("reached"))


@pytest.mark.parametrize(("place", "version", "status"), [("9/9/999", 1, 400), ("0/0/0", 99, 404)])
def test_that_there_is_no_such_tile_is_told_as_ckan_told_it(
    layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch, place: str, version: int, status: int
) -> None:
    path = tile_path(layer, place, version)
    asked = app.get(path)
    let_in_and_out_of_reach_of_ckan(layer, app, monkeypatch)
    told = app.get(path)
    assert (told.status_code, told.data, dict(told.headers)) == (status, asked.data, dict(asked.headers))


@pytest.mark.usefixtures("nobody_reaches_ckan")
@pytest.mark.parametrize("asked", ["0/0/0", "1/1/0"], ids=["from memory", "made anew"])
def test_a_public_tile_does_not_reach_ckan(layer: dict[str, Any], app: Any, asked: str) -> None:
    assert app.get(tile_path(layer, asked)).status_code == 200


@pytest.mark.usefixtures("nobody_reaches_ckan")
def test_who_finds_the_map_database_busy_does_not_reach_ckan(
    layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise PoolBusy("all connections of this process are in use")

    monkeypatch.setattr(TileReader, "tile", busy)
    answer = app.get(tile_path(layer, "1/1/0"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("fault", [psycopg2.errors.InternalError_, ValueError])
def test_a_fault_that_nobody_expects_is_logged_and_told_by_ckan(
    layer: dict[str, Any],
    app: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: type[Exception],
) -> None:
    app.get(tile_path(layer))

    def broken(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(TileReader, "tile", broken)
    monkeypatch.setattr(app.flask_app, "dispatch_request", lambda: "told")
    assert app.get(tile_path(layer, "1/1/0")).data == b"told"
    assert "A tile could not be sent at once" in caplog.text


@pytest.mark.parametrize("query", ["filter=rank+%3D+1", "fields=rank", "fields=", "filter-lang=sql"])
def test_a_tile_with_options_goes_to_ckan_where_other_extensions_see_it(
    layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    app.get(tile_path(layer))
    monkeypatch.setattr(app.flask_app, "dispatch_request", lambda: "told")
    assert app.get(f"{tile_path(layer)}?{query}").data == b"told"


def test_what_is_no_question_for_a_tile_goes_to_ckan(
    layer: dict[str, Any], app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.get(tile_path(layer))
    monkeypatch.setattr(app.flask_app, "dispatch_request", lambda: "told")
    assert app.post(tile_path(layer)).data == b"told"


def test_a_tile_that_only_members_may_see_goes_to_ckan(
    layer: dict[str, Any], people: dict[str, Any], app: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("package_patch", id=layer["package_id"], private=True)
    assert app.get(tile_path(layer), headers=people["member"]).status_code == 200
    monkeypatch.setattr(app.flask_app, "dispatch_request", lambda: "told")
    assert app.get(tile_path(layer)).data == b"told"
