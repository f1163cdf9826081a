"""The one class that CKAN sees: wiring only."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan import model
from ckan.common import CKANConfig
from ckan.lib.plugins import DefaultTranslation

from ckanext.hdxjobs import actions, auth, metrics, tile_views, validators, views
from ckanext.hdxjobs.analytics import hooks as events
from ckanext.hdxjobs.analytics import saves
from ckanext.hdxjobs.geopreview import hooks, mirror


@tk.blanket.actions(actions)
@tk.blanket.auth_functions(auth)
@tk.blanket.blueprints([views.hdxjobs, tile_views.hdxjobs_tiles])
@tk.blanket.cli
@tk.blanket.config_declarations
@tk.blanket.helpers
@tk.blanket.validators(validators)
class HdxJobsPlugin(DefaultTranslation, p.SingletonPlugin):
    """``ckan.plugins = hdxjobs``."""

    p.implements(p.IConfigurer)
    p.implements(p.IMiddleware, inherit=True)
    p.implements(p.ISignal)
    p.implements(p.ITranslation)
    p.implements(p.IPackageController, inherit=True)
    p.implements(p.IDomainObjectModification)
    p.implements(p.IResourceView, inherit=True)

    # IConfigurer

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "templates")
        tk.add_public_directory(config, "public")
        tk.add_resource("assets", "hdxjobs")

    # IMiddleware

    def make_middleware(self, app: Any, config: CKANConfig) -> Any:
        app.wsgi_app = metrics.TokenGate(tile_views.Shortcut(app.wsgi_app))
        return app

    # ISignal

    def get_signal_subscriptions(self) -> dict[Any, list[Any]]:
        saves.watch()
        return events.signals()

    # IPackageController

    def after_dataset_create(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        hooks.dataset_saved(pkg_dict["id"])

    def after_dataset_update(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        hooks.dataset_saved(pkg_dict["id"])

    def after_dataset_delete(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        hooks.dataset_gone(pkg_dict["id"])

    # IDomainObjectModification: the only one that hears of a purge, and of changes that no action made

    def notify(self, entity: Any, operation: str) -> None:
        if isinstance(entity, model.Package):
            hooks.dataset_commits(entity)
            if operation == model.DomainObjectOperation.deleted:
                hooks.dataset_gone(entity.id)

    # IResourceView

    def info(self) -> dict[str, Any]:
        return {
            "name": mirror.VIEW_TYPE,
            "title": tk._("Map"),
            "icon": "map",
            "iframed": False,
            "default_title": tk._("Map"),
        }

    def can_view(self, data_dict: dict[str, Any]) -> bool:
        return views.can_view(data_dict["resource"]["id"])

    def setup_template_variables(self, context: Any, data_dict: dict[str, Any]) -> dict[str, Any]:
        return {"preview": views.preview_of(data_dict["resource"]["id"])}

    def view_template(self, context: Any, data_dict: dict[str, Any]) -> str:
        return "hdxjobs/map_view.html"
