"""Addresses and keys of the running stack, for scripts and for tests."""

from __future__ import annotations

import os

from devstack import ckan, keys, packages, postgres, redis, sites, solr
from devstack.fakes import client
from devstack.paths import CKAN_INI, VENV

LOOPBACK = "localhost,127.0.0.1"


def isolate() -> None:
    """Keep the caller's environment from reaching into the stack.

    CKAN reads settings from CKAN_* variables, and a proxy must not be asked
    for servers on this machine.
    """
    for name in [name for name in os.environ if name.startswith("CKAN_") or name == "PYTHONPATH"]:
        del os.environ[name]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), LOOPBACK]))


def values() -> dict[str, str]:
    """What ./dev env prints; the token is empty until the site has been up."""
    return {
        "CKAN_URL": ckan.SITE_URL,
        "CKAN_INI": str(CKAN_INI),
        "CKAN_ADMIN_TOKEN": keys.known(ckan.TOKEN) or "",
        "CKAN_DB_URL": postgres.url(postgres.OWNER, "ckan"),
        "GEO_DB_URL": postgres.url(postgres.LOADER, "geo"),
        "REDIS_URL": redis.MAIN.url(0),
        "SOLR_URL": solr.url(solr.CORE),
        "FAKE_SINKS_URL": client.URL,
        "PYTHON": str(VENV / "bin" / "python"),
    }


def for_tests() -> dict[str, str]:
    """What the tests find in their environment."""
    return {
        "HDXJOBS_TEST_PG_URL": postgres.url(postgres.SUPERUSER, "postgres"),
        "HDXJOBS_TEST_REDIS_URL": sites.TESTS[0].redis_url,
        "HDXJOBS_TEST_SOLR_URL": solr.url(sites.TESTS[0].core),
        "HDXJOBS_TEST_INI": str(sites.TESTS[0].ini),
        "HDXJOBS_TEST_BROWSER": str(packages.browser() or ""),
    }


def login() -> str:
    """Who may log in, and with what."""
    return (
        f"{ckan.SITE_URL}/user/login as {keys.ADMIN_NAME} with the password {keys.secret('admin_password')}"
    )
