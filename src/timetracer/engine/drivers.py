"""Runs a role's core against the function it stands for: plain, a coroutine function or a generator function.

A core is a generator without I/O. It yields what it needs done (an effect) and is sent the outcome, errors included;
its return value is what the app gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias

import msgspec

from timetracer.engine.bodies import adrain, drain
from timetracer.engine.guard import bearable
from timetracer.plugin import Call

Core: TypeAlias = Generator[Any, Any, Any]


class Real:
    """Effect: run the real function, with the arguments it was called with."""


REAL = Real()


class RealWith(msgspec.Struct, frozen=True, eq=False):
    """Effect: run the real function with other arguments."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)


class Drain(msgspec.Struct, frozen=True, eq=False):
    """Effect: read an upload to its end."""

    source: Any


class Linger(msgspec.Struct, frozen=True, eq=False):
    """Effect: wait to be cancelled, for so many seconds; then act as if that had happened."""

    seconds: float


def _arguments(effect: Real | RealWith, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(effect, RealWith):
        return effect.args, effect.kwargs
    return call.args, call.kwargs  # type: ignore[return-value]


def _outcome(raised: bool, value: Any) -> Any:
    """Gives the app what the real function gave, where the core failed after it."""
    if raised:
        raise value
    return value


def drive(core: Core, call: Call, real: Callable[..., Any]) -> Any:
    """Runs a core over a plain function; `real` takes the call's arguments without its owner."""
    step: Callable[[Any], Any] = core.send
    value: Any = None
    ran = False
    while True:
        try:
            effect = step(value)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            if error is value or not bearable(error, ran=ran):
                value = None  # its traceback holds this frame: a cycle would keep the app's objects (and locks) alive
                raise
            break
        try:
            ran = effect is REAL
            if effect is REAL:
                value = real(*call.args, **call.kwargs)
            elif isinstance(effect, Drain):
                value = drain(effect.source)
            elif isinstance(effect, Linger):
                raise asyncio.CancelledError
            else:
                value = real(*effect.args, **effect.kwargs)
            step = core.send
        except BaseException as error:  # noqa: BLE001 - the core is thrown it, and decides
            value, step = error, core.throw
    return _outcome(step == core.throw, value) if ran else real(*call.args, **call.kwargs)


async def adrive(core: Core, call: Call, real: Callable[..., Awaitable[Any]]) -> Any:
    """Runs a core over a coroutine function."""
    step: Callable[[Any], Any] = core.send
    value: Any = None
    ran = False
    while True:
        try:
            effect = step(value)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            if error is value or not bearable(error, ran=ran):
                value = None  # its traceback holds this frame: a cycle would keep the app's objects (and locks) alive
                raise
            break
        try:
            ran = effect is REAL
            if isinstance(effect, Drain):
                value = await adrain(effect.source)
            elif isinstance(effect, Linger):
                await asyncio.sleep(effect.seconds)
                raise asyncio.CancelledError
            else:
                args, kwargs = _arguments(effect, call)
                value = await real(*args, **kwargs)
            step = core.send
        except BaseException as error:  # noqa: BLE001 - the core is thrown it, and decides
            value, step = error, core.throw
    return _outcome(step == core.throw, value) if ran else await real(*call.args, **call.kwargs)


def gdrive(core: Core, call: Call, real: Callable[..., Generator[Any, Any, Any]]) -> Generator[Any, Any, Any]:
    """Runs a core over a generator function, which goes on yielding to whoever drives it."""
    step: Callable[[Any], Any] = core.send
    value: Any = None
    ran = False
    while True:
        try:
            effect = step(value)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            if error is value or not bearable(error, ran=ran):
                value = None  # its traceback holds this frame: a cycle would keep the app's objects (and locks) alive
                raise
            break
        try:
            ran = effect is REAL
            args, kwargs = _arguments(effect, call)
            value = yield from real(*args, **kwargs)
            step = core.send
        except BaseException as error:  # noqa: BLE001 - the core is thrown it, and decides
            value, step = error, core.throw
    return _outcome(step == core.throw, value) if ran else (yield from real(*call.args, **call.kwargs))
