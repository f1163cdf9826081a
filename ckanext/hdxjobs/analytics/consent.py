"""Whether a request may be tracked: DNT, Sec-GPC and the site's own rule, before anything is kept."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import Any

from ckanext.hdxjobs.analytics import privacy

log = logging.getLogger(__name__)

#: Values of a cookie that mean no.
_NO = frozenset({"", "0", "false", "no", "off", "deny", "denied", "reject", "rejected", "declined", "optout"})


def given(request: Any, rule: str) -> bool:
    """Whether the visitor of a Flask request may be tracked.

    :param rule: the setting ``analytics.consent``
    """
    if privacy.objects(request.headers):
        return False
    if rule == "none":
        return True
    if rule.startswith("cookie:"):
        name, _, wanted = rule.removeprefix("cookie:").partition("=")
        value = request.cookies.get(name)
        return value == wanted if wanted else value is not None and value.strip().lower() not in _NO
    try:
        return bool(_function(rule)(request))
    except Exception as error:
        log.error("The consent function %s failed (%s): nobody is tracked", rule, type(error).__name__)
        return False


@cache
def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
