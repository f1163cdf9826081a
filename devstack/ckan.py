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

from devstack import keys, postgres, sites
from devstack.fakes import client
from devstack.paths import CKAN_INI, HERE, PORTS, ROOT, VENV, write
from devstack.steps import StepError, run

SITE_URL = f"http://localhost:{PORTS.ckan}"
TOKEN = "admin_token"


def write_settings() -> None:
    """Write the configuration of the site and of its tests."""
    values = sites.SITE.addresses() | {
        "site_url": SITE_URL,
        "secret_key": keys.secret("secret_key"),
        "csrf_key": keys.secret("csrf_key"),
        "token_key": keys.secret("token_key"),
        "sinks": "\n".join(
            f"ckanext.hdxjobs.{sink}.{key} = {value}"
            for sink, options in client.options(client.URL).items()
            for key, value in options.items()
        ),
    }
    write(CKAN_INI, Template((HERE / "ckan.ini").read_text()).substitute(values), mode=0o600)
    template = Template((HERE / "test.ini").read_text())
    base = ROOT / "test.ini"
    for site in sites.TESTS:
        values = site.addresses() | {"test_ini": str(base), "logging": logging_of(base)}
        write(site.ini, template.substitute(values), mode=0o600)


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

    :param names: both, in this order, with their owners
    :param port: of their server
    """
    for name, owner in names.items():
        postgres.make_database(name, owner=owner, port=port)
    run(command("db", "init", ini=ini))
    run(command("db", "upgrade", "-p", "hdxjobs", ini=ini))
    _, geo = names
    set_up_map(geo, ini=ini, port=port)


def set_up_map(database: str, *, ini: Path, port: int = PORTS.postgres) -> None:
    """Bring a map database to the state that the code expects."""
    # In the environment, because every user of the machine can see a command line.
    admin = {"HDXJOBS_ADMIN_URL": postgres.url(postgres.SUPERUSER, database, port=port)}
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
    for site in (sites.SITE, *sites.TESTS):
        shutil.rmtree(site.storage, ignore_errors=True)
        site.ini.unlink(missing_ok=True)
    keys.forget(TOKEN)
