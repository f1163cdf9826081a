"""CKAN 2.11's bulk actions: many datasets are written by one statement, of which no hook and no flush tells."""

from __future__ import annotations

from typing import Any

from ckan import model

#: What those actions change.
_COLUMNS = frozenset({"private", "state"})


def datasets(update: Any) -> list[Any]:
    """The datasets that such a statement wrote, as they are now: id, private, state; none if it is another one.

    :param update: what SQLAlchemy tells of it, in its transaction (``after_bulk_update``)
    """
    package = model.package_table
    if update.query.column_descriptions[0]["expr"] is not package.c.id or _COLUMNS.isdisjoint(update.values):
        return []
    found: list[Any] = update.query.with_entities(package.c.id, package.c.private, package.c.state).all()
    return found
