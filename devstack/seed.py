"""Sample datasets, uploaded as a publisher would: through CKAN's API."""

from __future__ import annotations


def upload() -> list[str]:
    return []
