"""A running fake, for tests and benchmarks: start it, make it fail, ask what arrived."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devstack.fakes import ga4, mixpanel, webhook
from devstack.paths import PORTS, ROOT

#: The stack's own fake.
URL = f"http://127.0.0.1:{PORTS.fake_sinks}"


class Fake:
    """A fake server somewhere.

    :ivar url: ``http://host:port``
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def _call(self, path: str, said: Any = None) -> Any:
        body = None if said is None else json.dumps(said).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=body), timeout=30) as reply:
            return json.load(reply)

    def answers(self) -> bool:
        """Whether it is a fake that answers."""
        try:
            return "mixpanel" in self._call("/stats")
        except (OSError, ValueError):
            return False

    def fault(self, service: str, mode: str, **how: Any) -> None:
        """Make a service fail; ``how`` are fields of :class:`devstack.fakes.faults.Fault`."""
        self._call(f"/fault/{service}", {"mode": mode, **how})

    def stats(self, service: str) -> dict[str, Any]:
        return dict(self._call("/stats")[service])

    def ids(self, service: str) -> dict[str, int]:
        """Event id -> how often it came."""
        return dict(self._call(f"/ids/{service}"))

    def received(self, service: str) -> list[dict[str, Any]]:
        """The latest events as they were sent."""
        return list(self._call(f"/received/{service}"))

    def dropped(self, service: str) -> dict[str, int]:
        """Why events were not taken -> how many."""
        return dict(self._call(f"/dropped/{service}"))

    def reset(self) -> None:
        self._call("/reset", {})


def options(url: str) -> dict[str, dict[str, Any]]:
    """Options with which each sink sends to the fake at ``url``, by the sink's name."""
    return {
        "mixpanel": {"url": url, "token": mixpanel.TOKEN},
        "ga4": {"url": url, "measurement_id": ga4.MEASUREMENT_ID, "api_secret": ga4.API_SECRET},
        "webhook": {"url": f"{url}/webhook", "secret": webhook.SECRET},
    }


@contextmanager
def running(*, nice: int = 0) -> Iterator[Fake]:
    """A fake of one's own on a free port.

    :param nice: how much it yields to others; real services are on other machines
    """
    command = ["nice", "-n", str(nice), sys.executable, "-m", "devstack.fake_sinks", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the fake has no output")
            yield Fake(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
