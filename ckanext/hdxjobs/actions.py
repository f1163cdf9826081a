"""The API door: each action validates, authorises, calls one function and answers plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.hdxjobs.analytics import capture, traffic
from ckanext.hdxjobs.analytics.events import MalformedError
from ckanext.hdxjobs.geopreview import answer, dataset, hooks, record, survey
from ckanext.hdxjobs.geopreview.values import State

#: Previews that one call lists.
MAX_LISTED = 100


def _valid(data_dict: dict[str, Any], schema: dict[str, list[Any]], context: Any) -> dict[str, Any]:
    data, errors = tk.navl_validate(data_dict, schema, context)
    if errors:
        raise tk.ValidationError(errors)
    return dict(data)


def _validators(*names: str) -> list[Any]:
    return [tk.get_validator(name) for name in names]


def _id_schema() -> dict[str, list[Any]]:
    return {"id": _validators("not_empty", "unicode_safe")}


def _submit_schema() -> dict[str, list[Any]]:
    return _id_schema() | {"force": [tk.get_validator("default")(False), *_validators("boolean_validator")]}


def _list_schema() -> dict[str, list[Any]]:
    states = tk.get_validator("one_of")([state.value for state in State])
    default = tk.get_validator("default")
    return {
        "package_id": _validators("ignore_missing", "unicode_safe"),
        "state": [tk.get_validator("ignore_missing"), states],
        "limit": [default(MAX_LISTED), *_validators("natural_number_validator")],
        "offset": [default(0), *_validators("natural_number_validator")],
    }


@tk.side_effect_free
def hdx_geopreview_status(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Tell how the map preview of a resource stands.

    :param id: the resource's id
    :type id: string

    :returns: resource_id; state (queued, running, retrying, ready, failed, unsupported or deleted;
        null: nobody asked for a preview yet); phase (fetch, detect, load, publish or null);
        progress of the phase (0 to 1, or null); generation (rises with each new file); message;
        error (code, class, kind: transient or permanent, advice, retryable; or null); warnings (texts); queued_at, started_at,
        finished_at (UTC, ISO 8601, or null); shape_info (the history as the original stack tells it,
        newest last); layers (layer_id, name, geometry_type, feature_count, bbox [west, south, east,
        north] in degrees, fields [name, type], source_crs, minzoom, maxzoom, tiles, tilejson).
        While a new file is prepared, layers are those of the file before it.
    :rtype: dictionary
    """
    resource_id = _valid(data_dict, _id_schema(), context)["id"]
    resource = _resource(resource_id)
    tk.check_access("hdx_geopreview_status", context, {"id": resource_id})
    row = record.find(resource_id)
    if row is not None:
        return record.told(row)
    return answer.without_row(
        resource_id, candidate=hooks.is_candidate(resource), language=record.visitors_language()
    )


def hdx_geopreview_submit(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Ask for the map preview of a resource.

    :param id: the resource's id
    :type id: string
    :param force: make it again even if this very file was tried before, and whatever its format says
        (optional, default: false; a preview that somebody removed needs none)
    :type force: boolean

    :returns: the preview's status, see hdx_geopreview_status
    :rtype: dictionary
    """
    data = _valid(data_dict, _submit_schema(), context)
    resource = _resource(data["id"])
    tk.check_access("hdx_geopreview_submit", context, {"id": data["id"]})
    if not data["force"] and not hooks.is_candidate(resource):
        raise tk.ValidationError(
            {"id": [tk._("Files of this format are not shown on a map; use force to try")]}
        )
    known = record.find(data["id"])
    removed = known is not None and known["state"] == State.DELETED.value
    hooks.submit(resource, force=data["force"] or removed)
    model.Session.commit()
    return record.told(_row(data["id"]))


def hdx_geopreview_delete(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Remove the map preview of a resource; the resource stays as it is.

    The same file gets no preview again until somebody submits it; a new file does.

    :param id: the resource's id
    :type id: string

    :returns: the preview's status, see hdx_geopreview_status; its state is "deleted"
    :rtype: dictionary
    """
    resource_id = _valid(data_dict, _id_schema(), context)["id"]
    resource = _resource(resource_id)
    tk.check_access("hdx_geopreview_delete", context, {"id": resource_id})
    if not hooks.remove(resource):
        raise tk.ObjectNotFound(tk._("This resource has no map preview"))
    model.Session.commit()
    return record.told(_row(resource_id))


@tk.side_effect_free
def hdx_geopreview_list(context: Any, data_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """List map previews, newest first.

    :param package_id: id or name of a dataset; without it the whole site, for sysadmins only (optional)
    :type package_id: string
    :param state: only previews in this state; without it all but the deleted ones (optional)
    :type state: string
    :param limit: how many (optional, default and most: 100)
    :type limit: integer
    :param offset: how many to leave out first (optional, default: 0)
    :type offset: integer

    :returns: statuses, see hdx_geopreview_status
    :rtype: list of dictionaries
    """
    data = _valid(data_dict, _list_schema(), context)
    package_id = data.get("package_id")
    if package_id:
        package = model.Package.get(package_id)
        if package is None:
            raise tk.ObjectNotFound(tk._("Dataset not found"))
        package_id = package.id
    tk.check_access("hdx_geopreview_list", context, {"package_id": package_id})
    state = State(data["state"]) if data.get("state") else None
    rows = record.search(
        package_id=package_id, state=state, limit=min(data["limit"], MAX_LISTED), offset=data["offset"]
    )
    return [record.told(row) for row in rows]


def hdx_event_track(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Track an event, for other programs of the portal.

    :param name: of an event in docs/events.rst, or of one that an extension adds
    :type name: string
    :param properties: the event's properties (optional); names that belong to a dataset, resource or
        organization are looked up by its id
    :type properties: dictionary

    :returns: name, and tracked: false when events are switched off or the caller asked not to be tracked
    :rtype: dictionary
    """
    tk.check_access("hdx_event_track", context, data_dict)
    kind = capture.kinds().get(str(data_dict.get("name")))
    if kind is None:
        raise tk.ValidationError({"name": [tk._("There is no event of that name")]})
    properties = data_dict.get("properties") or {}
    if not isinstance(properties, dict):
        raise tk.ValidationError({"properties": [tk._("Must be a dictionary")]})
    try:
        event = kind.from_properties(properties)
    except MalformedError as error:
        raise tk.ValidationError({"properties": [str(error)]}) from error
    return {"name": kind.name, "tracked": traffic.track([event])}


@tk.side_effect_free
def hdxjobs_check(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Tell whether the parts of the site that make maps are there and in order.

    The reader of files and its sandbox are looked at where workers run: by ``ckan hdxjobs check``.

    :returns: ok (false: somebody has to do something), and findings (part, ok, detail)
    :rtype: dictionary
    """
    tk.check_access("hdxjobs_check", context, data_dict)
    findings = survey.run()
    return {
        "ok": all(finding.ok for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _resource(resource_id: str) -> Mapping[Any, Any]:
    resource = dataset.resource(resource_id)
    if resource is None:
        raise tk.ObjectNotFound(tk._("There is no resource with the id {id}").format(id=resource_id))
    return resource


def _row(resource_id: str) -> record.Row:
    row = record.find(resource_id)
    if row is None:
        raise tk.ObjectNotFound(tk._("This resource has no map preview"))
    return row
