"""What CKAN 2.12's test plugin can do and that of 2.11 cannot: plugins made in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins as p
import pytest


@pytest.fixture
def provide_plugin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plugins by name, without an entry point: by the mark ``provide_plugin`` or by a call."""
    made: dict[str, Callable[[], Any]] = dict(
        mark.args for mark in request.node.iter_markers("provide_plugin")
    )
    installed = p.core._get_service
    monkeypatch.setattr(
        p.core, "_get_service", lambda name: made[name]() if name in made else installed(name)
    )
    return made.__setitem__


@pytest.fixture
def with_plugins(
    request: pytest.FixtureRequest, ckan_config: Any, provide_plugin: Callable[..., None], monkeypatch: Any
) -> Iterator[None]:
    """The plugins of the configuration, and those that the mark ``with_plugins`` maps from name to class."""
    names = list(p.toolkit.aslist(ckan_config["ckan.plugins"]))
    for mark in request.node.iter_markers("with_plugins"):
        for name, plugin in mark.args[0].items():
            provide_plugin(name, plugin)
            names.append(name)
    monkeypatch.setitem(ckan_config, "ckan.plugins", names)
    p.load_all()
    yield
    p.unload_all()
