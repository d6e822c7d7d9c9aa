"""The one guard: our own failures are logged and end here, so that the recorded app never notices them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from timetracer.errors import ReplayError

logger = logging.getLogger("timetracer")

QUIET_SECONDS = 60.0
"""One failure of a kind is logged at most this often."""

T = TypeVar("T")
_last_said: dict[str, float] = {}


class guard:
    """Swallows and logs an `Exception` raised inside the block; `failed` tells afterwards.

    CancelledError, KeyboardInterrupt, SystemExit and GeneratorExit are no `Exception` and pass.

    Args:
        doing: what was being done, for the log: a plugin's name and step, never a payload.
    """

    __slots__ = ("doing", "failed")

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.failed: Exception | None = None

    def __enter__(self) -> guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.failed = error
        say_once(self.doing, "%s failed (%s); the call goes on unharmed", self.doing, type(error).__name__, error=error)
        return True


def _never() -> bool:
    return False


fenced: Callable[[], bool] = _never
"""Whether any replay is on; `engine.fence` sets it. Then a failure of ours must not end in a live call."""


def attempt(doing: str, function: Callable[..., T], *args: Any) -> T | None:
    """Returns what `function` returns, or None where it fails by our own fault: the guard of a call's first step.

    Raises:
        Exception: while a replay is on, whatever `function` raises: the real function must not run in its place.
        ReplayError: at any time: a connection that was replayed on cannot go live half-way.
    """
    try:
        return function(*args)
    except Exception as error:
        if fenced() or isinstance(error, ReplayError):
            raise
        with guard(doing):
            raise error
        return None


class blamed:
    """Turns an `Exception` that a plugin's own part raises into what `told` makes of it."""

    __slots__ = ("doing", "told")

    def __init__(self, doing: str, told: Callable[[str, Exception], Exception]) -> None:
        self.doing, self.told = doing, told

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ReplayError):
            raise self.told(self.doing, error) from error


def say_once(key: str, message: str, *args: object, error: BaseException | None = None) -> None:
    """Logs a warning, at most once a minute for the same key. A payload never goes in."""
    now = time.monotonic()
    if now - _last_said.get(key, -QUIET_SECONDS) >= QUIET_SECONDS:
        _last_said[key] = now
        logger.warning(message, *args)
        if error is not None:
            logger.debug("%s: traceback", key, exc_info=error)
