"""CKAN: its configuration, its databases, its administrator."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from string import Template
from typing import Any

from devstack import keys, postgres, redis, solr
from devstack.fakes import client
from devstack.paths import CKAN_INI, DEV, HERE, PORTS, ROOT, TEST_INI, VENV, write
from devstack.steps import StepError, run

SITE_URL = f"http://localhost:{PORTS.ckan}"
STORAGE = DEV / "storage"
TEST_STORAGE = DEV / "test-storage"
DATABASES = {"ckan": postgres.OWNER, "geo": postgres.LOADER}
TEST_DATABASES = {"ckan_test": postgres.OWNER, "geo_test": postgres.LOADER}
TOKEN = "admin_token"


def write_settings() -> None:
    """Write the configuration of the site and of its tests."""
    values = {
        "site_url": SITE_URL,
        "storage": STORAGE,
        "secret_key": keys.secret("secret_key"),
        "csrf_key": keys.secret("csrf_key"),
        "token_key": keys.secret("token_key"),
        "ckan_db": postgres.url(postgres.OWNER, "ckan"),
        "solr": solr.url(solr.CORE),
        "redis": redis.url(0),
        "loader_db": postgres.url(postgres.LOADER, "geo"),
        "tiles_db": postgres.url(postgres.TILES, "geo"),
        "sinks": "\n".join(
            f"ckanext.hdxjobs.{sink}.{key} = {value}"
            for sink, options in client.options(client.URL).items()
            for key, value in options.items()
        ),
    }
    write(CKAN_INI, Template((HERE / "ckan.ini").read_text()).substitute(values), mode=0o600)
    values |= {
        "test_ini": ROOT / "test.ini",
        "logging": logging_of(ROOT / "test.ini"),
        "storage": TEST_STORAGE,
        "ckan_db": postgres.url(postgres.OWNER, "ckan_test"),
        "solr": solr.url(solr.TEST_CORE),
        "redis": redis.url(1),
        "loader_db": postgres.url(postgres.LOADER, "geo_test"),
        "tiles_db": postgres.url(postgres.TILES, "geo_test"),
    }
    write(TEST_INI, Template((HERE / "test.ini").read_text()).substitute(values), mode=0o600)


def logging_of(ini: Path) -> str:
    """The last sections of an ini file, which configure logging.

    CKAN 2.11 looks for them in the file that it is given, and in none that this file uses.
    """
    text = ini.read_text()
    return text[text.index("[loggers]") :]


def command(*arguments: str, ini: Path = CKAN_INI) -> list[str]:
    """A ckan command line."""
    return [str(VENV / "bin" / "ckan"), "-c", str(ini), *arguments]


def server() -> list[str]:
    """The web server's command line."""
    return [
        *(str(VENV / "bin" / "gunicorn"), "--chdir", str(ROOT), "--bind", f"127.0.0.1:{PORTS.ckan}"),
        *("--workers", "2", "--threads", "4", "--worker-tmp-dir", "/dev/shm", "--timeout", "120"),
        *("--access-logfile", "-", "devstack.wsgi:application"),
    ]


def make_databases(ini: Path, names: dict[str, str], *, port: int = PORTS.postgres) -> None:
    """Bring CKAN's database and the map database to the state that the code expects.

    :param port: of their server
    """
    for name, owner in names.items():
        postgres.make_database(name, owner=owner, port=port)
    run(command("db", "init", ini=ini))
    run(command("db", "upgrade", "-p", "hdxjobs", ini=ini))
    geo = next(name for name, owner in names.items() if owner == postgres.LOADER)
    # In the environment, because every user of the machine can see a command line.
    admin = {"HDXJOBS_ADMIN_URL": postgres.url(postgres.SUPERUSER, geo, port=port)}
    run(command("hdxjobs", "init-db", ini=ini), env=os.environ | admin)


def call(action: str, *, token: str | None = None, **data: Any) -> Any:
    """Call an action of the running site over HTTP.

    :raises StepError: with CKAN's own words
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    request = urllib.request.Request(
        f"{SITE_URL}/api/3/action/{action}", data=json.dumps(data).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["result"]
    except urllib.error.HTTPError as exc:
        raise StepError(f"{action}: HTTP {exc.code} {exc.read().decode(errors='replace')[:500]}") from exc
    except OSError as exc:
        raise StepError(f"{action}: {exc}") from exc


def answers() -> bool:
    """Whether it is our site that answers."""
    try:
        return bool(call("status_show")["site_url"] == SITE_URL)
    except StepError:
        return False


def administrator_token() -> str:
    """An API token of the administrator, who is made when there is none."""
    token = keys.known(TOKEN)
    if token:
        try:
            call("config_option_list", token=token)
            return token
        except StepError:
            keys.forget(TOKEN)
    try:
        call("user_show", id=keys.ADMIN_NAME)
    except StepError:
        password = f"password={keys.secret('admin_password')}"
        run(command("user", "add", keys.ADMIN_NAME, "email=admin@localhost.localdomain", password))
    run(command("sysadmin", "add", keys.ADMIN_NAME))
    token = run(command("user", "token", "add", "--quiet", keys.ADMIN_NAME, "dev")).split()[-1]
    keys.remember(TOKEN, token)
    return token


def remove() -> None:
    """Delete uploads and configuration; the token goes with its database."""
    for folder in (STORAGE, TEST_STORAGE):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (CKAN_INI, TEST_INI):
        file.unlink(missing_ok=True)
    keys.forget(TOKEN)
