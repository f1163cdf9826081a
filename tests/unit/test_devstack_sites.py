"""Each process that shares the tests inside CKAN has a site to itself."""

from __future__ import annotations

from itertools import combinations

import pytest

from devstack import sites, suites
from devstack.sites import Site


def data(site: Site) -> set[str]:
    """Where it keeps what its users and tests make."""
    return {str(site.ini), str(site.storage), site.core, site.redis_url, *site.databases}


def servers(site: Site) -> set[str]:
    """What tests change for all who use it: the map database's roles, and Redis."""
    loader = list(site.databases.values())[1]
    return {loader, site.tiles, site.redis_url.rpartition("/")[0]}


@pytest.mark.parametrize("pair", list(combinations(sites.TESTS, 2)))
def test_no_two_processes_of_the_tests_have_anything_in_common(pair: tuple[Site, Site]) -> None:
    one, other = pair
    assert (data(one) & data(other), servers(one) & servers(other)) == (set(), set())


@pytest.mark.parametrize("site", sites.TESTS, ids=lambda site: site.ini.name)
def test_the_tests_leave_the_sites_data_alone(site: Site) -> None:
    assert data(site) & data(sites.SITE) == set()


@pytest.mark.parametrize(
    "suite", [suite for suite in suites.SUITES if suite.ckan], ids=lambda suite: suite.name
)
def test_there_is_a_site_for_each_process_that_shares_a_suite_inside_ckan(suite: suites.Suite) -> None:
    assert suite.processes <= len(sites.TESTS)


@pytest.mark.parametrize(("worker", "site"), [("gw0", sites.TESTS[0]), ("gw1", sites.TESTS[1])])
def test_a_process_that_shares_a_suite_has_the_site_of_its_number(
    monkeypatch: pytest.MonkeyPatch, worker: str, site: Site
) -> None:
    monkeypatch.setenv(sites.WORKER, worker)

    assert sites.mine() is site


def test_a_process_that_is_alone_has_the_first_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sites.WORKER, raising=False)

    assert sites.mine() is sites.TESTS[0]
