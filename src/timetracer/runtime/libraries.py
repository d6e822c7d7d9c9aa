"""Finds the plugins, and installs each with its library: at start-up if OTel instruments that, else on its import."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

# OTel's own, which has read every package's entry points by now: asking `importlib.metadata` each time took 50 ms.
from opentelemetry.util._importlib_metadata import entry_points

from timetracer.engine import wrapping
from timetracer.engine.door import door
from timetracer.engine.guard import guard
from timetracer.engine.importing import when_imported
from timetracer.errors import ConfigError, ReplayError
from timetracer.plugin import Open, Plugin
from timetracer.runtime.releases import release_of

if TYPE_CHECKING:
    from timetracer.config import TraceConfig
    from timetracer.engine.cards import Card

logger = logging.getLogger(__name__)

GROUP = "timetracer_plugin"
_LAUNCHER = "opentelemetry.instrumentation.auto_instrumentation"
INBOUND = ("django", "flask", "gunicorn", "litestar", "starlette", "uvicorn")
"""Frameworks, and servers of what has no framework, seen without a line in the app.

`timetracer.inbound.<name>` has `install(door)`.
"""
_INSTRUMENTOR_OF = {"aiohttp": "aiohttp-client", "http_client": "urllib"}
_MODULE_OF = {"http_client": "http.client"}


def discovered() -> dict[str, EntryPoint]:
    """Returns the registered plugins by name. It is that of the package it is about: nothing is imported here."""
    return {found.name: found for found in entry_points(group=GROUP)}


def load(name: str) -> Plugin:
    """Imports one plugin, and so its library.

    Raises:
        ConfigError: there is no such plugin, or what is registered under the name is none.
        MissingDependencyError: its library is not installed.
    """
    found = discovered()
    if name not in found:
        raise ConfigError("plugin", name, f"one of {', '.join(sorted(found))}")
    return loaded(found[name])


def loaded(found: EntryPoint) -> Plugin:
    """Imports a registered plugin, and so its library.

    Raises:
        ConfigError: what is registered is none.
    """
    with suppress(ModuleNotFoundError):
        # The library first: what installs a plugin with its library would else meet a half-imported plugin.
        importlib.import_module(_MODULE_OF.get(found.name, found.name))
    plugin = found.load()
    if not isinstance(plugin, Plugin):
        raise ConfigError(f"{GROUP} {found.name}", found.value, "the name of a timetracer.plugin.Plugin")
    return plugin


def install_present(config: TraceConfig) -> None:
    """Installs the plugins whose library is imported already or will be by OTel; the others follow when it is imported.

    An error is raised in a replay, and noted in a recording.
    """
    strict = config.mode == "replay"
    instrumented: set[str] = set()
    if _LAUNCHER in sys.modules:  # without it, nothing is instrumented, and what the app does not use stays unloaded
        instrumented = {found.name for found in entry_points(group="opentelemetry_instrumentor")}
    for name, found in discovered().items():
        module = _MODULE_OF.get(name, name)
        if module in sys.modules or (_INSTRUMENTOR_OF.get(name, name) in instrumented and _importable(module)):
            _install(found, config)
        else:
            when_imported(module, f"plugin {name}", partial(_install, found, config))
    for name in INBOUND:
        if name in sys.modules or (name in instrumented and _importable(name)):
            _install_inbound(name, strict=strict)
        else:
            when_imported(name, f"integration {name}", partial(_install_inbound, name, strict=strict))


def _install_inbound(name: str, *, strict: bool) -> None:
    if strict:
        importlib.import_module(f"timetracer.inbound.{name}").install(door)
        return
    with guard(f"{name}: installing the integration"):
        importlib.import_module(f"timetracer.inbound.{name}").install(door)


def _install(found: EntryPoint, config: TraceConfig) -> None:
    if config.mode == "replay":
        state = put_in_place(loaded(found))
        if config.should_mock_plugin(found.name, state.plugin.kind):
            _close_off(state)
        return
    with guard(f"{found.name}: installing the plugin"):
        put_in_place(loaded(found))


def put_in_place(plugin: Plugin) -> wrapping.Installed:
    """Installs a plugin. A release of its library that nobody tested is said once, and is no reason to do without."""
    new = plugin.name not in wrapping.installed()
    state = wrapping.install(plugin)
    if new and not (release := release_of(plugin)).tested:
        logger.warning(
            "%s is not among the releases that timetracer was tested with (%s): a call that it makes in another way"
            " is not recorded, and finds no answer in a replay (see timetracer doctor)",
            release,
            plugin.library,
        )
    return state


def _close_off(state: wrapping.Installed) -> None:
    """Refuses a library that would open its connections unseen: what connects in C (libpq) passes by the fence.

    Raises:
        ReplayError: a function that opens connections is not where it was.
    """
    openings = [p.target for p in state.plugin.patches if isinstance(p.role, Open) and p.role.leave is not None]
    if lost := [target for target in openings if target in state.missing]:
        plugin = state.plugin
        raise ReplayError(
            f"{release_of(plugin)} opens its connections elsewhere than in {', '.join(lost)}, so a replay could not"
            f" keep it from the server: install {plugin.library}, or name {plugin.name} in TIMETRACER_LIVE_PLUGINS",
            reason="plugin not installed",
        )


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(cards: Iterable[Card]) -> None:
    """Checks that every library a cassette holds calls of has its plugin: without it those calls would go live.

    Raises:
        ReplayError: a plugin is not installed.
    """
    known = {*discovered(), *wrapping.installed()}
    for each in cards:
        used = {event.signature.lib for event in (*each.cassette.events, *each.cassette.shared.values())}
        if missing := sorted(used - known):
            raise ReplayError(
                f"{each.name} holds calls of {', '.join(missing)}, and no plugin of that name is installed:"
                f" install the package that brings it (entry point group {GROUP})",
                reason="plugin not installed",
            )


def broken() -> dict[str, list[str]]:
    """Returns, by plugin, the targets that the installed library should have and has not."""
    return {name: state.missing for name, state in wrapping.installed().items() if state.missing}
