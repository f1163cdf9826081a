"""Validators of our own options."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.hdxjobs.geopreview import rules


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


def hdxjobs_formats(value: Any) -> list[str]:
    """Names of formats that we read, separated by spaces."""
    words = value if isinstance(value, list) else str(value or "").split()
    unknown = [word for word in words if not rules.chosen_formats([word])]
    if unknown:
        raise tk.Invalid(tk._("No such format: {names}").format(names=", ".join(unknown)))
    return words
