"""A whole site in processes of its own, with a Redis that may be killed and a fake to send to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests

from devstack import ckan
from devstack.fakes import client
from devstack.paths import ROOT

TOOLS = Path(sys.executable).parent
PATIENCE_S = 180
#: Seconds between two rounds of the sweep.
SWEEP_EVERY_S = 10
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


_HELD: list[socket.socket] = []


def free_port() -> int:
    """A port for a server that comes later, or again: nobody else is given it while this process lives.

    The kernel lets a server that reuses addresses, as all of ours do, listen beside a socket that does not.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return int(held.getsockname()[1])


def until(condition: Callable[[], Any], *, seconds: float = PATIENCE_S) -> None:
    """Wait for it; fails when it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.05)


def processes() -> Iterator[tuple[int, int]]:
    """Each process and its parent."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            yield int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])


class Site:
    """Web server, Redis, worker and sweep; each is started when somebody wants it.

    :ivar token: of a sysadmin
    """

    def __init__(
        self,
        folder: Path,
        fake: client.Fake,
        *,
        base_ini: Path,
        redis_port: int | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Write the site's configuration.

        :param base_ini: what it is built on
        :param redis_port: of another site's Redis, to share it
        :param options: more lines of the configuration
        """
        self.folder, self.fake, self.token = folder, fake, ""
        self.redis_port, self.port = redis_port or free_port(), free_port()
        self.url = f"http://localhost:{self.port}"
        self.ini = folder / f"site-{self.port}.ini"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._write_ini(base_ini, options)

    def _write_ini(self, base_ini: Path, more: Mapping[str, Any]) -> None:
        options = {
            "use": f"config:{base_ini}",
            "ckan.site_url": self.url,
            "ckan.storage_path": self.folder / "storage",
            "ckan.redis.url": f"redis://127.0.0.1:{self.redis_port}/0",
            "ckanext.hdxjobs.analytics.sinks": "mixpanel",
            "ckanext.hdxjobs.analytics.api_calls": "false",
        }
        for key, value in client.options(self.fake.url)["mixpanel"].items():
            options[f"ckanext.hdxjobs.mixpanel.{key}"] = value
        options |= more
        lines = "".join(f"{key} = {value}\n" for key, value in options.items())
        self.ini.write_text(f"[app:main]\n{lines}\n{ckan.logging_of(base_ini)}")

    def start(self, name: str, *command: str, cwd: Path = ROOT, user: str | None = None) -> None:
        self.running[name] = subprocess.Popen(
            command,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env=os.environ | {"CKAN_INI": str(self.ini), "PYTHONUNBUFFERED": "1"},
            stdout=(self.folder / f"{name}.log").open("ab"),
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def start_redis(self) -> None:
        """An empty Redis that writes nothing to the disk."""
        settings = ("--save", "", "--appendonly", "no", "--dir", str(self.folder))
        self.start("redis", "redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", *settings)
        until(self._redis_answers)

    def _redis_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.redis_port)) == 0

    def start_web(self, *, threads: int = 4) -> None:
        bind = ("--bind", f"127.0.0.1:{self.port}", "--threads", str(threads))
        self.start("web", str(TOOLS / "gunicorn"), *bind, "devstack.wsgi:application")
        until(self._web_answers)

    def _web_answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/3/action/status_show", timeout=5).ok
        except requests.RequestException:
            return False

    def start_worker(self) -> None:
        self.start("worker", str(TOOLS / "ckan"), "-c", str(self.ini), "jobs", "worker", "analytics_q")

    def sweep_until(self, condition: Callable[[], Any]) -> None:
        """Rounds, as cron does them, until it has come; what a round came too early for is the next one's."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("what was waited for did not come")
            self.sweep()
            with suppress(TimeoutError):
                until(condition, seconds=SWEEP_EVERY_S)

    def sweep(self, ckan: Sequence[str] = ()) -> None:
        """One round, as cron would do it.

        :param ckan: another command line than CKAN's own
        """
        subprocess.run(
            [*(ckan or (str(TOOLS / "ckan"), "-c", str(self.ini))), "hdxjobs", "sweep"],
            cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip

    def signal(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def kill_with_children(self, name: str) -> None:
        """With the process that does a worker's job, or a server's, which would else go on alone for a while."""
        parent = self.running[name].pid
        children = [pid for pid, its_parent in processes() if its_parent == parent]
        self.kill(name)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        for name in list(self.running):
            self.kill_with_children(name)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # -- what visitors and publishers do ---------------------------------------

    def call(self, action: str, *, files: Any = None, token: str = "", **data: Any) -> Any:
        """An action by HTTP.

        :param token: of somebody else than the sysadmin
        """
        sent: dict[str, Any] = {"data": data, "files": files} if files else {"json": data}
        reply = requests.post(
            f"{self.url}/api/3/action/{action}",
            headers={"Authorization": token or self.token},
            timeout=60,
            **sent,
        )
        reply.raise_for_status()
        return reply.json()["result"]

    def upload(self, dataset: str) -> str:
        """A dataset with one file; the address of the file."""
        self.call("package_create", name=dataset)
        made = self.call(
            "resource_create", package_id=dataset, name="table", files={"upload": ("t.csv", b"a,b\n1,2\n")}
        )
        return str(made["url"])

    def download(self, address: str, times: int) -> list[int]:
        """Download as a browser does; the statuses."""
        with requests.Session() as session:
            session.headers["User-Agent"] = BROWSER
            return [session.get(address, timeout=60).status_code for _ in range(times)]

    def downloads_arrived(self) -> int:
        return int(self.fake.stats("mixpanel")["events"].get("resource download", 0))
