"""The one class that CKAN sees: wiring only."""

from __future__ import annotations

import ckan.plugins as p
import ckan.plugins.toolkit as tk


@tk.blanket.config_declarations
class HdxJobsPlugin(p.SingletonPlugin):
    """``ckan.plugins = hdxjobs``."""
