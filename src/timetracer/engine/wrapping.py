"""Puts a plugin's wrappers in place: beneath OTel's, once per process, inert when the plugin is disabled."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import wrapt

from timetracer.engine.drivers import adrive, drive, gdrive
from timetracer.engine.guard import attempt, passed_over
from timetracer.engine.importing import when_imported
from timetracer.engine.roles import CORES
from timetracer.engine.sessions import SESSIONS
from timetracer.errors import ConfigError
from timetracer.plugin import Call, Patch, Plugin, Role

_Proxy: type = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)
"""What OTel's wrappers are: wrapt 2 has a base class for them, wrapt 1 has not."""


class Installed(msgspec.Struct):
    """A plugin whose wrappers are in place.

    Attributes:
        enabled: whether they do anything.
        missing: targets that this version of the library should have and has not.
    """

    plugin: Plugin
    enabled: bool = True
    missing: list[str] = msgspec.field(default_factory=list)
    _undo: list[Callable[[], None]] = msgspec.field(default_factory=list)

    def remove(self) -> None:
        """Takes the wrappers away again, where nobody wrapped them since."""
        while self._undo:
            self._undo.pop()()


_installed: dict[str, Installed] = {}


def installed() -> dict[str, Installed]:
    """Returns the plugins whose wrappers are in place, by name."""
    return dict(_installed)


def install(plugin: Plugin) -> Installed:
    """Wraps what `plugin` names; a second time nothing happens: who disabled it has the last word.

    Raises:
        ConfigError: another plugin has the same name.
    """
    present = _installed.get(plugin.name)
    if present is not None:
        if present.plugin != plugin:
            raise ConfigError("timetracer_plugin", plugin.name, "a name that no other plugin has")
        return present
    state = _installed[plugin.name] = Installed(plugin)
    for patch in plugin.patches:
        # What lies in another package than the plugin's own waits for its import: psycopg_pool took 5 ms of each start.
        when_imported(patch.target.partition(".")[0].partition(":")[0], patch.target, partial(_apply, state, patch))
    return state


def disable(name: str) -> None:
    """Makes a plugin's wrappers inert."""
    if name in _installed:
        _installed[name].enabled = False


def remove_all() -> None:
    """Takes every wrapper away, for tests."""
    while _installed:
        _installed.popitem()[1].remove()


def missing_targets(plugin: Plugin) -> list[str]:
    """Returns the targets that this version of the library should have and has not; wraps nothing."""
    return [patch.target for patch in plugin.patches if patch.since is None and _found(patch) is None]


def _found(patch: Patch) -> tuple[Any, str, Any] | None:
    """Returns what holds the function, the function's name in it, and the function as it is there; None for none."""
    module, _, path = patch.target.partition(":")
    *outer, name = path.split(".")
    try:
        owner: Any = importlib.import_module(module)
        for part in outer:
            owner = getattr(owner, part)
        return owner, name, inspect.getattr_static(owner, name)
    except (ImportError, AttributeError):
        return None


def _apply(state: Installed, patch: Patch) -> None:
    if _installed.get(state.plugin.name) is not state:
        return  # removed while it waited
    found = _found(patch)
    if found is None:
        if patch.since is None:
            state.missing.append(patch.target)
        return
    owner, name, present = found
    in_class = inspect.isclass(owner)
    if isinstance(present, _Proxy):
        _slide_beneath(state, patch, present, in_class=in_class)
        return
    own = name in vars(owner)
    wrapped = wrap(state, patch, present, in_class=in_class)
    setattr(owner, name, wrapped)

    def undo() -> None:
        if vars(owner).get(name) is wrapped:
            if own:
                setattr(owner, name, present)
            else:
                delattr(owner, name)

    state._undo.append(undo)


def _slide_beneath(state: Installed, patch: Patch, outer: Any, *, in_class: bool) -> None:
    """Goes beneath a wrapper that was there first, so that its span is current in ours and is made in replay, too."""
    while isinstance(outer.__wrapped__, _Proxy):
        outer = outer.__wrapped__
    real = outer.__wrapped__
    outer.__wrapped__ = wrap(state, patch, real, in_class=in_class)

    def undo() -> None:
        outer.__wrapped__ = real

    state._undo.append(undo)


def wrap(state: Installed, patch: Patch, present: Any, *, in_class: bool) -> Any:
    """Returns the wrapper of one function: of the same kind (sync, async, generator; method or not), and signature."""
    unwrap = present.__func__ if isinstance(present, (classmethod, staticmethod)) else present
    bound = in_class and not isinstance(present, staticmethod)
    wrapper = _wrapper(state, patch, unwrap, bound)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(unwrap, attribute):
            setattr(wrapper, attribute, getattr(unwrap, attribute))
    if not inspect.isbuiltin(unwrap):  # reading that of `sqlite3.connect` takes 2 ms, and fails
        with suppress(ValueError, TypeError):  # other C functions may have none either
            wrapper.__signature__ = inspect.signature(unwrap)
    # No __wrapped__: OTel's pymemcache instrumentor makes no span over a function that has one.
    return type(present)(wrapper) if isinstance(present, (classmethod, staticmethod)) else wrapper


def _wrapper(state: Installed, patch: Patch, real: Callable[..., Any], bound: bool) -> Any:
    begin = _beginning(state, patch, bound)

    if inspect.iscoroutinefunction(real):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            call, core = begin(args, kwargs)
            run = real.__get__(call.owner) if bound else real
            return await (run(*call.args, **call.kwargs) if core is None else adrive(core, call, run))

        return coroutine

    if inspect.isgeneratorfunction(real):

        def generator(*args: Any, **kwargs: Any) -> Any:
            call, core = begin(args, kwargs)
            run = real.__get__(call.owner) if bound else real
            return (yield from (run(*call.args, **call.kwargs) if core is None else gdrive(core, call, run)))

        return generator

    if bound and patch.role is not None and patch.prepare is None:
        return _plain_method(state, patch.role, real)

    name, looking = state.plugin.name, f"{state.plugin.name}: looking at a call"

    def function(*args: Any, **kwargs: Any) -> Any:
        if attempt(looking, SESSIONS.silences, name):  # beneath a captured call, as most are: 3 us less
            return real(*args, **kwargs)
        call, core = begin(args, kwargs)
        run = real.__get__(call.owner) if bound else real
        return run(*call.args, **call.kwargs) if core is None else drive(core, call, run)

    return function


def _plain_method(state: Installed, role: Role, real: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the wrapper of a plain method, as nearly all are: the same as above, written out.

    Without `begin` and `attempt` a call outside any session costs 0.5 us, not 1.6.
    """
    plugin, core_of, doing = state.plugin, CORES[type(role)], f"{state.plugin.name}: looking at a call"

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not state.enabled:
            return real(self, *args, **kwargs)
        call = Call(self, args, kwargs)
        try:
            core = core_of(plugin, role, call)
        except BaseException as error:
            if not passed_over(doing, error):
                raise
            core = None
        return real(self, *args, **kwargs) if core is None else drive(core, call, real.__get__(self))

    return method


def _beginning(
    state: Installed, patch: Patch, bound: bool
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Call, Any]]:
    plugin, role, prepare = state.plugin, patch.role, patch.prepare
    core = CORES[type(role)] if role is not None else None
    looking, preparing = f"{plugin.name}: looking at a call", f"{plugin.name}: preparing a call"

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Any]:
        call = Call(args[0], args[1:], kwargs) if bound else Call(None, args, kwargs)
        if not state.enabled:
            return call, None
        if prepare is not None:
            call = attempt(preparing, prepare, call) or call
        return call, None if core is None else attempt(looking, core, plugin, role, call)

    return begin
