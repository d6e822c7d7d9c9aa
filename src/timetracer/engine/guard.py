"""The one guard: our own failures are logged and end here, so that the recorded app never notices them."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from timetracer.errors import ReplayError

logger = logging.getLogger("timetracer")

QUIET_SECONDS = 60.0
"""One failure of a kind is logged at most this often."""

P = ParamSpec("P")
T = TypeVar("T")
_last_said: dict[str, float] = {}


def is_ours(error: BaseException | None) -> bool:
    """Whether what was raised inside our own code is our own failure, and not meant for the app.

    Not ours is what is no `Exception` (CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit, gevent's), but for
    the panic of a library in Rust, and whatever a signal handler of the app raised while our code ran: its time limit.
    """
    if isinstance(error, Exception):
        return not _by_a_signal_handler(error)
    return type(error).__module__ == "pyo3_runtime"  # https://pyo3.rs/main/doc/pyo3/panic/struct.PanicException.html


def _by_a_signal_handler(error: BaseException) -> bool:
    code, step = set(), error.__traceback__
    while step is not None:
        code.add(step.tb_frame.f_code)
        step = step.tb_next
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if callable(handler):
            handler = getattr(handler, "func", handler)  # of a partial
            handler = handler if hasattr(handler, "__code__") else getattr(handler, "__call__", handler)  # noqa: B004
            if getattr(handler, "__code__", None) in code:
                return True
    return False


class guard:
    """Swallows and logs our own failure inside the block; `failed` tells afterwards.

    Args:
        doing: what was being done, for the log: a plugin's name and step, never a payload.
    """

    __slots__ = ("doing", "failed")

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.failed: BaseException | None = None

    def __enter__(self) -> guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not swallowed(self.doing, error):
            return False
        self.failed = error
        return True


def swallowed(doing: str, error: BaseException) -> bool:
    """Whether what was raised is our own failure; then it is logged, and who asks goes on without what failed."""
    if not is_ours(error):
        return False
    say_once(doing, "%s failed (%s); the call goes on unharmed", doing, type(error).__name__, error=error)
    return True


def guarded(
    doing: str, failed: Callable[..., object] | None = None
) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Guards a whole function, which returns None where it fails by our own fault.

    For the path of every call: 0.1 us, where the block takes 0.5.

    Args:
        doing: as in `guard`.
        failed: called with the same arguments after a failure; it must not fail itself.
    """

    def guarding(function: Callable[P, T]) -> Callable[P, T | None]:
        @wraps(function)
        def guarded_function(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if not swallowed(doing, error):
                    raise
                if failed is not None:
                    failed(*args, **kwargs)
                return None

        return guarded_function

    return guarding


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
    except BaseException as error:
        if not passed_over(doing, error):
            raise
        return None


def passed_over(doing: str, error: BaseException) -> bool:
    """Whether a call goes on without us, as after `attempt`: its first step failed by our fault, in no replay."""
    return not (fenced() or isinstance(error, ReplayError)) and swallowed(doing, error)


def bearable(error: BaseException, *, ran: bool) -> bool:
    """Whether a core failed by our own fault so that the call may go on without it; then it is said.

    Args:
        ran: the real function ran already, and its outcome is there to be given. Else only a want of memory is borne:
            what a core raises before may be its answer.
    """
    borne = ran or not (fenced() or (isinstance(error, Exception) and not isinstance(error, MemoryError)))
    return borne and not isinstance(error, ReplayError) and swallowed("keeping a call", error)


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
    if now - _last_said.get(key, -QUIET_SECONDS) < QUIET_SECONDS:
        return
    _last_said[key] = now
    try:
        logger.warning(message, *args)
        if error is not None:
            logger.debug("%s: traceback", key, exc_info=error)
    except Exception as failed:  # a handler or filter of the app's log, or no memory to log with
        if not is_ours(failed):
            raise
