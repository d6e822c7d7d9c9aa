"""Learns with which exit code a script ends: `sys.exit` is over before anything runs that could ask.

Upstream: an unhandled SystemExit is dropped by the interpreter itself, in C, right before it calls atexit's functions
(https://github.com/python/cpython/blob/3.13/Python/pythonrun.c, `handle_system_exit`). One that the app catches is
dropped while Python code runs.
"""

from __future__ import annotations

import _sitebuiltins
import functools
import sys
from collections.abc import Callable
from typing import Any


class _Rider:
    """Rides on a SystemExit, and tells how that one ended."""

    __slots__ = ("_status", "_told")

    def __init__(self, status: object, told: Callable[[int], None]) -> None:
        self._status, self._told = status, told

    def __del__(self) -> None:
        if sys._getframe().f_back is None:
            self._told(code_of(self._status))


def code_of(status: object) -> int:
    """Returns the exit code that the interpreter makes of what `sys.exit` was given."""
    if status is None:
        return 0
    return status & 0xFF if isinstance(status, int) else 1


def watch(told: Callable[[int], None]) -> None:
    """Has `told` called with the exit code when `sys.exit`, `exit` or `quit` ends the interpreter.

    A bare `raise SystemExit` is not seen.
    """
    _wrap(sys, "exit", told)
    _wrap(_sitebuiltins.Quitter, "__call__", told)


def _wrap(owner: Any, name: str, told: Callable[[int], None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def leave(*args: Any, **kwargs: Any) -> Any:
        try:
            return real(*args, **kwargs)
        except SystemExit as error:
            error.__dict__["_timetracer_rider"] = _Rider(error.code, told)
            raise

    setattr(owner, name, leave)
