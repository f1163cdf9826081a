"""What must be true once the faults are over: each check counts what it looked at and names what is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
from psycopg2 import sql

from ckanext.hdxjobs.geopreview import workplace
from devstack.chaos import family, files, leaks, overlaps
from devstack.chaos.grounds import WORKERS, Grounds
from devstack.chaos.scene import Layer, Scene, roles, unsettled
from devstack.own_site import PATIENCE_S, until

GONE = """
SELECT v.resource_id, v.state
FROM hdxjobs_preview AS v
WHERE NOT EXISTS (
    SELECT 1
    FROM resource AS r
    INNER JOIN package AS p ON r.package_id = p.id
    WHERE r.id = v.resource_id AND r.state = 'active' AND p.state = 'active'
)
"""
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'hdxjobs'::regnamespace AND relkind = 'r' AND relname ~ '^[lspk]_'
"""
SESSIONS = """
SELECT pid, state, query FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'hdxjobs' AND pid <> pg_backend_pid()
"""
COUNT = "SELECT count(*), NULL, NULL FROM hdxjobs.{table}"
MARKS = "SELECT count(*), min({mark}::text), max({mark}::text) FROM hdxjobs.{table}"


@dataclass
class Finding:
    """:ivar wrong: what violates it, in words."""

    title: str
    looked_at: int = 0
    wrong: list[str] = field(default_factory=list)


def _requests(scene: Scene) -> Iterator[str | None]:
    """Saves succeed whatever is broken, but for CKAN's own database."""
    yield from [None] * (scene.notes.did.total() - len(scene.notes.refused))
    yield from scene.notes.refused


def _saved(scene: Scene) -> Iterator[str | None]:
    """What a save answered with success is there; what it took away is not."""
    there = {resource.id: resource.url.rpartition("/")[2] for resource in scene.resources}
    deleted = scene.notes.deleted
    for resource_id, name in scene.notes.saved.items():
        if resource_id not in deleted:
            right = there.get(resource_id) == name
            yield None if right else f"{resource_id}: has {there.get(resource_id)}, not {name}"
    for resource_id in deleted:
        yield f"{resource_id}: was deleted, and is there" if resource_id in there else None


def _settled(scene: Scene) -> Iterator[str | None]:
    waiting = {row[0]: row for row in unsettled(scene.grounds)}
    for resource_id in {resource.id for resource in scene.resources} | waiting.keys():
        yield str(waiting[resource_id]) if resource_id in waiting else None


def _ends(scene: Scene) -> Iterator[str | None]:
    """A good file is ready, a broken one is named, a removed preview is away."""
    for resource in scene.resources:
        content = files.content_of(resource.url)
        if content is None:
            yield f"{resource}: no file of ours"
        elif not scene.is_wanted(resource):
            yield None if resource.state == "deleted" else f"{resource}: it was removed"
        elif content.count:
            yield None if resource.state == "ready" else str(resource)
        else:
            named = resource.state in ("failed", "unsupported") and resource.error_code
            yield None if named else f"{resource}: the file is broken"


def _rows(scene: Scene) -> Iterator[str | None]:
    """The newest file's features, all of them and no others, are what is served."""
    for resource in scene.resources:
        content = files.content_of(resource.url)
        if content is None or not content.count or not scene.is_wanted(resource):
            continue
        live = scene.live(resource.id)
        if [layer.generation for layer in live] != [resource.generation]:
            yield f"{resource}: served are {[(layer.layer_id, layer.generation) for layer in live]}"
            continue
        plain = resource.says("attributes-left-out")
        mark = None if plain else str(content.mark)
        found = _count(scene.grounds, live[0]) if plain else _marks(scene.grounds, live[0])
        wanted = (content.count, mark, mark)
        yield None if found == wanted else f"{resource}: rows {found}, not {wanted}"


def _count(grounds: Grounds, layer: Layer) -> tuple[Any, ...]:
    """Of a map that says that it shows no marks."""
    statement = sql.SQL(COUNT).format(table=sql.Identifier(layer.table))
    return grounds.ask_map(statement)[0]


def _marks(grounds: Grounds, layer: Layer) -> tuple[Any, ...]:
    columns = [one["column"] for one in layer.fields if one["name"] == "mark"]
    if not columns or not layer.has_table:
        return ("no table or column", layer.table)
    statement = sql.SQL(MARKS).format(mark=sql.Identifier(columns[0]), table=sql.Identifier(layer.table))
    return grounds.ask_map(statement)[0]


def _told(scene: Scene) -> Iterator[str | None]:
    """The ledger lists the layers that PostGIS serves, and the resource's extras tell the ledger's history."""
    for resource in scene.resources:
        listed = {layer["layer_id"] for layer in resource.layers}
        served = {layer.layer_id for layer in scene.live(resource.id)}
        history = json.loads(resource.extra) if resource.extra else []
        if listed != served:
            yield f"{resource}: listed are {sorted(listed)}, served {sorted(served)}"
        elif history != (resource.shape_info or []):
            said = [entry.get("state") for entry in history]
            yield f"{resource}: extras tell {said}, not {[one['state'] for one in resource.shape_info or []]}"
        else:
            yield None


def _gone(scene: Scene) -> Iterator[str | None]:
    """What was deleted or purged is neither wanted nor stored."""
    stored = {layer.resource_id for layer in scene.layers}
    rows = dict(scene.grounds.ask_ckan(GONE))
    for resource_id, state in rows.items():
        if state != "deleted":
            yield f"{resource_id} is gone and its preview {state}"
        else:
            yield f"{resource_id} is gone and has tables" if resource_id in stored else None
    known = {resource.id for resource in scene.resources} | rows.keys()
    yield from (f"{resource_id} has tables and is not known to CKAN" for resource_id in stored - known)


def _doors(scene: Scene) -> Iterator[str | None]:
    """What a visitor gets: public layers, and none that is private, removed, replaced or gone."""
    by_id = {resource.id: resource for resource in scene.resources}
    for resource_id, layer_ids in scene.sights.listed.items():
        resource = by_id.get(resource_id)
        listed = {layer["layer_id"] for layer in resource.layers} if resource else set[str]()
        for layer_id in layer_ids | listed:
            public = resource is not None and not resource.private and layer_id in listed
            status = _status(f"{scene.grounds.url}/hdxjobs/tiles/{layer_id}.json")
            right = status == requests.codes.ok if public else status == requests.codes.not_found
            yield None if right else f"layer {layer_id} of {resource or resource_id}: {status}"


def _status(address: str) -> int:
    """What a visitor gets who comes back when the site says that it is too busy now."""
    end = time.monotonic() + PATIENCE_S
    while True:
        status = requests.get(address, timeout=PATIENCE_S).status_code
        if status != requests.codes.service_unavailable or time.monotonic() > end:
            return status
        time.sleep(1)


def _tables(scene: Scene) -> Iterator[str | None]:
    """Each table has a row that is live or retired, each live row has a table."""
    known = {layer.table[1:]: layer for layer in scene.layers}
    for (name,) in scene.grounds.ask_map(TABLES):
        layer = known.get(name[1:])
        if layer is None:
            yield f"table {name} has no row"
        else:
            kept = layer.is_live or layer.is_retired
            yield None if kept else f"table {name} is neither live nor retired"
    yield from (f"{layer} has no table" for layer in scene.layers if layer.is_live and not layer.has_table)


def _alone(scene: Scene) -> Iterator[str | None]:
    """No two imports of one resource were at work at once."""
    told = [
        step for worker in WORKERS for step in overlaps.steps(worker, scene.grounds.said(worker))
    ]  # fmt: skip
    yield from [None] * len(told)
    for one, other in overlaps.overlaps(overlaps.locked(told, scene.grounds.cuts)):
        yield f"{one.name} of {one.resource_id} generation {one.generation} and {other.name} of {other.generation}"


def _moments(scene: Scene) -> Iterator[str | None]:
    yield from scene.notes.moments.values()


def _secrets(scene: Scene) -> Iterator[str | None]:
    """Passwords and tokens are in no log, row or queue, and on no command line."""
    known = leaks.secrets(scene.grounds)
    for place, text in (*leaks.places(scene.grounds), *((line, line) for line in scene.sights.commands)):
        found = leaks.told(text, known)
        yield f"{place[:60]} tells {', '.join(found)}" if found else None


def _folders(scene: Scene) -> Iterator[str | None]:
    """Those of killed jobs are free for the sweep, which gives them some minutes."""
    left = list(scene.grounds.work_folder.iterdir())
    workplace.drop_left(scene.grounds.work_folder, older_than_s=0, young_s=0)
    yield from (f"{folder} is held by somebody" if folder.exists() else None for folder in left)


def _sessions(scene: Scene) -> Iterator[str | None]:
    """Nobody is left in the map database, or holds a lock there, once the server has seen that they went."""
    with suppress(TimeoutError):
        until(lambda: not scene.grounds.ask_map(SESSIONS))
    yield from (str(row) for row in scene.grounds.ask_map(SESSIONS))


def _roles(scene: Scene) -> Iterator[str | None]:
    for role in roles(scene.grounds):
        yield None if role in scene.roles_before else role


def _processes(scene: Scene) -> Iterator[str | None]:
    """Of a worker nothing lives on, neither when it is killed nor at the end; RQ's schedulers, which outlive a killed worker, end by themselves or here."""
    yield from (
        f"process {pid} went on without its parent: {told}" for pid, told in scene.sights.orphans.items()
    )
    servers = {process.pid for process in scene.grounds.running.values()}
    # A server has new children at any time: they are seen in the same look as it is.
    for process in family.descendants():
        if process.group == process.pid and not {process.pid, process.parent} & servers:
            yield f"process {process.pid}: {family.command(process.pid)}"


CHECKS: dict[str, Callable[[Scene], Iterator[str | None]]] = {
    "requests of publishers that were answered": _requests,
    "saves that are there as they were answered": _saved,
    "certain moments of an import that came": _moments,
    "previews in an end state": _settled,
    "good files ready, broken ones named": _ends,
    "files whose features are all served, and no others": _rows,
    "histories in the extras and layers that agree with the ledger": _told,
    "deleted resources without tables": _gone,
    "layers that visitors get or do not get as they should": _doors,
    "tables that are live or retired": _tables,
    "steps of imports, none beside another of its resource": _alone,
    "work folders left by killed jobs and free for the sweep": _folders,
    "sessions left in the map database": _sessions,
    "roles, none of them new": _roles,
    "places without a password or token": _secrets,
    "processes that outlived the workers": _processes,
}


def findings(found: Scene) -> Iterator[Finding]:
    """Each check as it is done."""
    for title, check in CHECKS.items():
        results = list(check(found))
        yield Finding(title, len(results), [result for result in results if result is not None])
