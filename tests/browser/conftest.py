"""A real site with a real worker, and a browser that watches what it is asked to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from portal import PATIENCE_S, Site, wait_until

from devstack import sites
from devstack.ckan import command, logging_of, set_up_map
from devstack.own_site import free_port
from devstack.steps import run

ROOT = Path(__file__).resolve().parents[2]

expect.set_options(timeout=PATIENCE_S * 1000)

BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # There is no other site.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


class Process:
    """A part of the site; what it said is printed when a test fails or it dies."""

    def __init__(self, name: str, command: list[str], *, ini: Path, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"CKAN_INI": str(ini), "PYTHONUNBUFFERED": "1"},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def alive(self) -> bool:
        return self.popen.poll() is None

    def said(self, lines: int = 60) -> str:
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.name}", *tail])

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGCONT)
        self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def write_ini(folder: Path, url: str) -> Path:
    path, base = folder / "browser.ini", Path(os.environ["HDXJOBS_TEST_INI"])
    path.write_text(
        f"[app:main]\nuse = config:{base}\n"
        # CKAN itself would ask Gravatar for a picture of the editor.
        f"ckan.site_url = {url}\nckan.gravatar_default = disabled\nckan.storage_path = {folder / 'storage'}\n"
        "ckanext.hdxjobs.geopreview.link_hosts_allowed = 127.0.0.1\n"
        # A page that takes long to load is no server that fell silent.
        f"ckanext.hdxjobs.geopreview.read_timeout_s = {PATIENCE_S}\n\n{logging_of(base)}"
    )
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """CKAN's web server and a worker for geo_q on empty databases."""
    from ckan.lib import search
    from ckan.lib.redis import connect_to_redis
    from ckan.tests import factories, helpers

    helpers.reset_db()
    search.clear_all()
    connect_to_redis().flushdb()
    editor = factories.SysadminWithToken(password="correct horse", image_url="")

    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    url = f"http://localhost:{port}"
    ini = write_ini(folder, url)
    tools = Path(sys.executable).parent
    _, geo = sites.mine().databases
    set_up_map(geo, ini=ini)
    # Cleaning the database dropped our table too.
    run(command("db", "upgrade", "-p", "hdxjobs", ini=ini))
    web = Process(
        "web",
        [*(str(tools / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1"),
         *("--threads", "6", "--timeout", "120", "devstack.wsgi:application")],
        ini=ini,
        folder=folder,
    )  # fmt: skip
    worker = Process("worker", command("jobs", "worker", "geo_q", ini=ini), ini=ini, folder=folder)
    try:
        wait_until(lambda: not web.alive() or answers(f"{url}/api/3/action/status_show"), seconds=PATIENCE_S)
        if not web.alive() or not worker.alive():
            raise RuntimeError(f"the site did not start\n{web.said()}\n{worker.said()}")
        yield Site(url, editor["name"], "correct horse", editor["token"], web, worker)
    finally:
        worker.stop()
        web.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the servers said beside a failure."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and site is not None:
        report.sections += [("site", site.web.said()), ("worker", site.worker.said())]
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=os.environ.get("HDXJOBS_TEST_BROWSER") or None, args=list(BROWSER_ARGUMENTS)
        )
        yield running
        running.close()


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of somebody who is not logged in; see ``watched``."""
    yield from watched(browser, site)


@pytest.fixture(scope="session")
def login_state(browser: Browser, site: Site) -> dict[str, object]:
    """The editor's cookies, after a real login."""
    context = browser.new_context(base_url=site.url)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    page.goto("/user/login")
    page.fill("#field-login", site.editor)
    page.fill("#field-password", site.password)
    page.click(".form-actions button[type=submit]")
    page.wait_for_selector(".account .username, .account-masthead .username")
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def editor(browser: Browser, site: Site, login_state: dict[str, object]) -> Iterator[Page]:
    """A page of somebody who may edit everything; see ``watched``."""
    yield from watched(browser, site, storage_state=login_state)


def watched(browser: Browser, site: Site, **options: object) -> Iterator[Page]:
    """A page; the test fails if it asked another origin, opened a dialog or threw an error."""
    context = browser.new_context(base_url=site.url, **options)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    trouble: list[str] = []
    context.on(
        "request",
        lambda request: (
            trouble.append(f"asked {request.url}")
            if not request.url.startswith((site.url + "/", "data:", "blob:" + site.url))
            else None
        ),
    )
    page.on("dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: trouble.append(f"error {error}"))
    yield page
    page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert trouble == []
