"""A look into the outbox, and a page of the site as a browser asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckanext.hdxjobs import config
from ckanext.hdxjobs.analytics.outbox import Outbox

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"


class Events:
    """What waits in the outbox; one row an event, because the tests' site has one sink."""

    def __init__(self) -> None:
        self._outbox = Outbox(config.ckan_dsn())
        self.clear()

    def clear(self) -> None:
        for table in ("hdxjobs_event", "hdxjobs_sink", "hdxjobs_event_tally"):
            self._run(f"DELETE FROM {table}")

    def rows(self) -> list[dict[str, Any]]:
        return self._outbox.search(limit=1000)

    def names(self) -> list[str]:
        return [row["name"] for row in self.rows()]

    def only(self) -> dict[str, Any]:
        """The properties of the one event there is."""
        (row,) = self.rows()
        found: dict[str, Any] = row["properties"]
        return found

    def close(self) -> None:
        self.clear()
        self._outbox.close()

    def _run(self, statement: str) -> None:
        with self._outbox._transaction() as cursor:
            cursor.execute(statement)


def get(
    app: Any, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", **sent: Any
) -> int:
    """Ask for a page and read it to its end, as events follow the response; the status."""
    sent = {"headers": {"User-Agent": BROWSER, **(headers or {})}, "follow_redirects": False, **sent}
    response = app.test_client(use_cookies=False).open(path, method=method, **sent)
    response.get_data()
    response.close()
    return int(response.status_code)
