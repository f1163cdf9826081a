"""Who may call which action: reading follows ``resource_show``, asking and removing ``resource_update``."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk


def _as(action: str, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Allowed exactly when that action is; unknown resources are "not found" there."""
    try:
        tk.check_access(action, context, {"id": data_dict.get("id")})
    except tk.NotAuthorized as refused:
        return {"success": False, "msg": str(refused)}
    return {"success": True}


@tk.auth_allow_anonymous_access
def hdx_geopreview_status(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Whoever may see the resource."""
    return _as("resource_show", context, data_dict)


def hdx_geopreview_submit(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Whoever may change the resource."""
    return _as("resource_update", context, data_dict)


def hdx_geopreview_delete(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Whoever may change the resource."""
    return _as("resource_update", context, data_dict)


@tk.auth_allow_anonymous_access
def hdx_geopreview_list(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Of a dataset: whoever may see it; of the whole site: sysadmins."""
    if not data_dict.get("package_id"):
        return {"success": False, "msg": tk._("Only sysadmins can list the previews of the whole site")}
    try:
        tk.check_access("package_show", context, {"id": data_dict["package_id"]})
    except tk.NotAuthorized as refused:
        return {"success": False, "msg": str(refused)}
    return {"success": True}


def hdx_event_track(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 CKAN's signature
    """Sysadmins only: an event says whatever its sender wants."""
    return {"success": False, "msg": tk._("Only sysadmins can track events")}


def hdxjobs_check(context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 CKAN's signature
    """Sysadmins only: it tells addresses and versions."""
    return {"success": False, "msg": tk._("Only sysadmins can check the site")}
