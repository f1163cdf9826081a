"""Validators of our own options."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk


def hdxjobs_positive_number(value: Any) -> float:
    """A number greater than zero; fractions are allowed."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number > 0:
        return number
    raise tk.Invalid(tk._("Must be a number greater than zero"))


def hdxjobs_ip_policy(value: Any) -> str:
    """What becomes of visitors' addresses: drop or cut."""
    if value in ("drop", "cut"):
        return str(value)
    raise tk.Invalid(tk._("Must be drop or cut"))
