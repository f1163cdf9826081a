"""The one class that CKAN sees: wiring only."""

from __future__ import annotations

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.hdxjobs import config


@tk.blanket.config_declarations
@tk.blanket.validators({"hdxjobs_positive_number": config.positive_number})
class HdxJobsPlugin(p.SingletonPlugin):
    """``ckan.plugins = hdxjobs``."""
