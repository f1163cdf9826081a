"""Who may see a resource, and so its layers: what ``resource_show`` says, whoever decides that."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan import model

#: The name of a visitor who is not logged in.
ANONYMOUS = ""


def may_see(resource_id: str, user: str) -> bool:
    """Whether a user, by name, may see a resource."""
    try:
        tk.check_access("resource_show", {"user": user, "session": model.Session}, {"id": resource_id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return False
    return True
