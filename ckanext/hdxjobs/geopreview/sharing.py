"""Which layers tile servers without users (Martin, pg_tileserv) have: those of public datasets, if the site wants.

Two databases cannot commit as one.  So layers are taken back before CKAN commits what makes them private, given
only after it commits what makes them public, and looked at once more after they are given.  What went wrong on
the way, the sweep puts right; and what nobody vouches for any more ends by itself after ten minutes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from ckan import model

from ckanext.hdxjobs import config, queues
from ckanext.hdxjobs.errors import PreviewError
from ckanext.hdxjobs.geopreview import publish, rights
from ckanext.hdxjobs.geopreview.preview import PREVIEW, engine
from ckanext.hdxjobs.geopreview.values import State

log = logging.getLogger(__name__)

#: Resources that are taken back, or looked up in CKAN's database, at a time.
BATCH = 200
#: Resources that a sweep gives at most, and shared ones of which it asks CKAN's rules anew.
MAX_GIVEN = 200
MAX_ASKED = 500

#: Saves do not ask a map database that did not answer a moment ago: a hundred of them would wait for each.
breaker = queues.Breaker()


def take_back(resource_ids: Collection[str]) -> None:
    """Before CKAN commits: these are not public any more.  Never fails, and takes seconds at most."""

    def unshare(dsn: str) -> None:
        if publish.unshare(resource_ids, dsn=dsn, hurried=True):
            log.info("Taken back from tile servers: layers of %s", ", ".join(sorted(resource_ids)))

    _attempt(unshare, resource_ids)


def settle(resource_ids: Collection[str]) -> None:
    """After CKAN committed: give what is public now, take back what is not.  Never fails."""

    def give_or_take(dsn: str) -> None:
        found = publish.shares(dsn=dsn, resource_ids=resource_ids, hurried=True)
        public = _public(share.resource_id for share in found)
        wrongly = [share.resource_id for share in found if share.shared and share.resource_id not in public]
        if wrongly:
            publish.unshare(wrongly, dsn=dsn, hurried=True)
        for share in found:
            if share.resource_id in public and not share.valid:
                _give(share.resource_id, dsn, hurried=True)

    _attempt(give_or_take, resource_ids)


def _attempt(work: Callable[[str], None], resource_ids: Collection[str]) -> None:
    """Somebody waits: what the map database does not take now is left to the sweep."""
    if not resource_ids or not config.tiles_shared():
        return
    reason = "it did not answer moments ago"
    try:
        if not breaker.is_open():
            work(config.geo_settings().loader_url)
            return
    except PreviewError as error:
        breaker.trip()
        reason = error.code
    except Exception:
        log.exception("What tile servers have of %s resources is left to the sweep", len(resource_ids))
        return
    log.warning("What tile servers have of %s resources is left to the sweep: %s", len(resource_ids), reason)


def reconcile(dsn: str) -> tuple[int, int]:
    """The sweep's part: numbers of resources given and taken back.

    All that are shared are looked up; of more than ``MAX_ASKED`` a random part is asked about by CKAN's rules,
    which other plugins may narrow.

    :raises PreviewError: the map database is away
    """
    found = publish.shares(dsn=dsn)
    shared = {share.resource_id for share in found if share.shared}
    valid = {share.resource_id for share in found if share.valid}
    public = _public_by_columns({share.resource_id for share in found}) if config.tiles_shared() else set()
    public -= _refused(_some(public & shared, MAX_ASKED))
    taken = sum(publish.unshare(some, dsn=dsn) for some in _batches(shared - public))
    publish.renew_shares(valid & public, dsn=dsn)
    given = sum(_give(each, dsn) for each in _public(_some(public - valid, MAX_GIVEN)))
    return given, taken


def _give(resource_id: str, dsn: str, *, hurried: bool = False) -> bool:
    """Share, and look again: it may have become private in between."""
    publish.share(resource_id=resource_id, shared=True, dsn=dsn, hurried=hurried)
    if _public([resource_id]):
        return True
    publish.unshare([resource_id], dsn=dsn, hurried=hurried)
    return False


def _public(resource_ids: Iterable[str]) -> set[str]:
    """Those of which everybody may see the map, by what is committed now."""
    found = _public_by_columns(set(resource_ids))
    return found - _refused(found)


def _refused(resource_ids: Collection[str]) -> set[str]:
    """Those that CKAN's rules, which plugins may change, do not show to everybody."""
    if not resource_ids:
        return set()
    with _session_of_its_own():
        return {each for each in resource_ids if not rights.may_see(each, rights.ANONYMOUS)}


def _public_by_columns(resource_ids: Collection[str]) -> set[str]:
    """Those that have a map and are active in a dataset that is active and not private."""
    resource, package = model.resource_table, model.package_table
    query = (
        sa.select(PREVIEW.c.resource_id)
        .join(resource, resource.c.id == PREVIEW.c.resource_id)
        .join(package, package.c.id == resource.c.package_id)
        .where(PREVIEW.c.state != State.DELETED.value, resource.c.state == "active")
        .where(package.c.state == "active", sa.not_(package.c.private))
    )
    public: set[str] = set()
    with engine().connect() as connection:
        for some in _batches(resource_ids):
            public.update(connection.execute(query.where(PREVIEW.c.resource_id.in_(some))).scalars())
    return public


@contextmanager
def _session_of_its_own() -> Iterator[None]:
    """CKAN's functions read what is committed now.

    Its session remembers what it read before the commit, and while that is under way it cannot be asked at all.
    """
    registry = model.Session.registry
    before = registry()
    registry.set(model.Session.session_factory())
    try:
        yield
    finally:
        registry().close()
        registry.set(before)


def _some(resource_ids: set[str], most: int) -> list[str]:
    """No more than ``most``; which ones, differs from sweep to sweep, so that each has its turn."""
    return random.sample(sorted(resource_ids), min(most, len(resource_ids)))


def _batches(resource_ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(resource_ids)
    return (ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH))
