"""Where the wing hangs on CKAN: signals in, events out.  Nothing here raises into a request."""

from __future__ import annotations

from typing import Any

from ckan.plugins import toolkit as tk

from ckanext.hdxjobs.analytics import capture, catalogue, saves, traffic
from ckanext.hdxjobs.analytics.events import Event

_STANDING_FOR_SAVES = frozenset(saves.ACTIONS.values())

_PREVIEWS: dict[str, type[catalogue.PreviewReady | catalogue.PreviewFailed]] = {
    "ready": catalogue.PreviewReady,
    "failed": catalogue.PreviewFailed,
    "unsupported": catalogue.PreviewFailed,
}


def signals() -> dict[Any, list[Any]]:
    """CKAN's signals and who listens (ISignal)."""
    return {
        tk.signals.request_started: [traffic.begin],
        tk.signals.request_finished: [traffic.finish],
        tk.signals.action_succeeded: [action_succeeded],
        tk.signals.user_logged_in: [user_logged_in],
        tk.signals.ckanext.signal("hdxjobs:preview_settled"): [preview_settled],
    }


def action_succeeded(name: str, **_: Any) -> None:
    """An action that the site tracks; those that stand for saves are events of the save itself."""
    try:
        if name not in _STANDING_FOR_SAVES and name in traffic.settings().actions:
            traffic.track([catalogue.Action(action_name=name)])
    except Exception as error:
        capture.complain("A tracked action was lost (%s)", type(error).__name__)


def user_logged_in(_app: Any, *, user: Any, **_: Any) -> None:
    """Somebody logged in; whoever never was active did so for the first time."""
    try:
        if user.last_active is None:
            traffic.track([catalogue.FirstLogin(authenticated=True)])
    except Exception as error:
        capture.complain("A first login was lost (%s)", type(error).__name__)


def preview_settled(state: str, *, connection: Any | None, **told: Any) -> None:
    """A file became a map, or never will.

    :param connection: the transaction that says so; None once it is committed
    :param told: resource_id, seconds, layers, features, error_code, as far as they apply
    """
    try:
        kind = _PREVIEWS.get(state)
        wanted = traffic.settings()
        if kind is None or not wanted.enabled:
            return
        if connection is None:
            capture.ring(set(wanted.sinks))
            return
        known = {name: value for name, value in told.items() if name in kind.__dataclass_fields__}
        saves.join_connection([kind(**known)], connection, wanted)
    except Exception as error:
        capture.complain("The event of a preview was lost (%s)", type(error).__name__)


def track(event: Event) -> None:
    """Track an event from code: with the request that is going on, or at once."""
    traffic.track([event])
