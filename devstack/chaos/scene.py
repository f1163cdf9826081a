"""What is found once all is quiet: the resources as CKAN knows them, the layers as the map database does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devstack.chaos.grounds import Grounds
from devstack.chaos.publishers import Notes

RESOURCES = """
SELECT
    r.id, r.url, r.extras::jsonb ->> 'shape_info', p.private, v.generation, v.state, v.error_code, v.attempt,
    coalesce(v.layers, '[]'), v.shape_info, coalesce(v.notices, '[]')
FROM resource AS r
INNER JOIN package AS p ON r.package_id = p.id
LEFT JOIN hdxjobs_preview AS v ON v.resource_id = r.id
WHERE r.state = 'active' AND p.state = 'active'
ORDER BY r.id
"""
UNSETTLED = """
SELECT resource_id, generation, state, attempt, error_code
FROM hdxjobs_preview
WHERE state IN ('queued', 'running', 'retrying')
"""
LAYERS = """
SELECT
    l.resource_id, l.layer_id, l.generation, l.table_name, l.fields,
    l.published_at IS NOT NULL AND l.retired_at IS NULL AND l.generation = r.live_gen
    AND r.tombstone_gen < l.generation,
    l.retired_at IS NOT NULL,
    to_regclass('hdxjobs.' || l.table_name) IS NOT NULL
FROM hdxjobs.layer AS l
INNER JOIN hdxjobs.resource AS r ON l.resource_id = r.resource_id
"""


@dataclass(frozen=True)
class Resource:
    """An active resource of an active dataset, and its row in the ledger (state None: it has none)."""

    id: str
    url: str
    extra: str | None
    private: bool
    generation: int | None
    state: str | None
    error_code: str | None
    attempt: int | None
    layers: list[dict[str, Any]]
    shape_info: list[dict[str, Any]] | None
    notices: list[dict[str, Any]]

    def says(self, code: str) -> bool:
        return any(notice["code"] == code for notice in self.notices)

    def __str__(self) -> str:
        told = f"{self.state}, generation {self.generation}, attempt {self.attempt}, {self.error_code or 'no error'}"
        return f"{self.id} ({self.url.rpartition('/')[2]}): {told}"


@dataclass(frozen=True)
class Layer:
    """A row of the registry in the map database."""

    resource_id: str
    layer_id: str
    generation: int
    table: str
    fields: list[dict[str, str]]
    is_live: bool
    is_retired: bool
    has_table: bool


@dataclass(frozen=True)
class Sights:
    """What could only be seen meanwhile.

    :ivar listed: layer ids that were listed at any time, by resource
    :ivar orphans: processes that worked on for a while after their parent had died
    :ivar commands: command lines of all that the site ran
    """

    listed: Mapping[str, frozenset[str]]
    orphans: Mapping[int, str]
    commands: frozenset[str]


@dataclass(frozen=True)
class Scene:
    """What was found once all was quiet."""

    grounds: Grounds
    notes: Notes
    roles_before: frozenset[str]
    sights: Sights
    resources: list[Resource]
    layers: list[Layer]

    def is_wanted(self, resource: Resource) -> bool:
        return resource.id not in self.notes.unwanted

    def live(self, resource_id: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.is_live and layer.resource_id == resource_id]


def resources(grounds: Grounds) -> list[Resource]:
    return [Resource(*row) for row in grounds.ask_ckan(RESOURCES)]


def look(grounds: Grounds, notes: Notes, roles_before: frozenset[str], sights: Sights) -> Scene:
    layers = [Layer(*row) for row in grounds.ask_map(LAYERS)]
    return Scene(grounds, notes, roles_before, sights, resources(grounds), layers)


def unsettled(grounds: Grounds) -> list[tuple[Any, ...]]:
    return grounds.ask_ckan(UNSETTLED)


def is_quiet(grounds: Grounds) -> bool:
    """Nothing waits, and nobody works."""
    return not (unsettled(grounds) or grounds.horses())


def roles(grounds: Grounds) -> frozenset[str]:
    return frozenset(name for (name,) in grounds.ask_server("SELECT rolname FROM pg_roles"))
