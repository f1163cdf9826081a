"""What each CKAN of the stack has to itself: the site, and one for each process that runs tests inside CKAN."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from devstack import postgres, redis, solr
from devstack.paths import CKAN_INI, DEV, TEST_INI


@dataclass(frozen=True)
class Site:
    """Its files and the names of what it has on the servers.

    :ivar databases: CKAN's and the map database, with their owners
    :ivar tiles: the role that reads tiles; roles are the whole server's
    :ivar redis_url: one of Redis's databases, or a Redis of its own
    """

    ini: Path
    storage: Path
    databases: dict[str, str]
    tiles: str
    core: str
    redis_url: str

    def addresses(self) -> dict[str, str]:
        """What its configuration says of the servers."""
        (ckan, owner), (geo, loader) = self.databases.items()
        return {
            "storage": str(self.storage),
            "ckan_db": postgres.url(owner, ckan),
            "loader_db": postgres.url(loader, geo),
            "tiles_db": postgres.url(self.tiles, geo),
            "solr": solr.url(self.core),
            "redis": self.redis_url,
        }


SITE = Site(
    ini=CKAN_INI,
    storage=DEV / "storage",
    databases={"ckan": postgres.OWNER, "geo": postgres.LOADER},
    tiles=postgres.TILES,
    core=solr.CORE,
    redis_url=redis.MAIN.url(0),
)

# What pytest-xdist tells each process that shares a suite: gw0, gw1…
WORKER = "PYTEST_XDIST_WORKER"

# One a process. Some tests lock Redis, fill it or cut off all who use it: each process has its own.
TESTS = (
    Site(
        ini=TEST_INI,
        storage=DEV / "test-storage",
        databases={"ckan_test": postgres.OWNER, "geo_test": postgres.LOADER},
        tiles=postgres.TILES,
        core=solr.TEST_CORES[0],
        redis_url=redis.MAIN.url(1),
    ),
    Site(
        ini=DEV / "test-2.ini",
        storage=DEV / "test-storage-2",
        databases={"ckan_test_2": postgres.OWNER, "geo_test_2": f"{postgres.LOADER}_2"},
        tiles=f"{postgres.TILES}_2",
        core=solr.TEST_CORES[1],
        redis_url=redis.SECOND.url(0),
    ),
)


def mine() -> Site:
    """The site of this process of the tests; a process that shares with no other has the first one."""
    return TESTS[int(os.environ.get(WORKER, "gw0").removeprefix("gw"))]
