"""Whose data a map shows: what TileJSON calls attribution."""

from __future__ import annotations

import html

from ckan import model


def attribution(resource_id: str) -> str:
    """The dataset's organization (else its author) and licence; as HTML, without markup; "" if nobody is named."""
    resource = model.Session.get(model.Resource, resource_id)
    package = resource.package if resource else None
    if package is None:
        return ""
    publisher = model.Session.get(model.Group, package.owner_org) if package.owner_org else None
    name = publisher.title or publisher.name if publisher else package.author
    licence = package.license.title if package.license else ""
    return html.escape(", ".join(filter(None, (name, licence))))
