"""Who may see a resource: what CKAN's own rules say."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan import model

#: The name of a visitor who is not logged in.
ANONYMOUS = ""


def may_see(resource_id: str, user: str) -> bool:
    """What ``resource_show`` says of a user.

    :param user: a name, or ``ANONYMOUS``
    """
    try:
        tk.check_access("resource_show", {"user": user, "session": model.Session}, {"id": resource_id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return False
    return True
