"""The clock of a replayed session: it runs from the time at which the session was recorded, for that session alone.

It stands beneath time-machine's hooks, which answer `time.time` and `datetime.now` for C and Python callers alike; ours
reads the context at each call, so two replays at once each have their own time, and everything else the true one.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import time_machine
from opentelemetry import context

from timetracer.engine.sessions import SESSION_KEY

_TRUE_TIME = (
    "opentelemetry.",
    "timetracer.",
    "asyncio.",
    "logging",
    "gunicorn.",
    "uvicorn.",
    "redis.",
    "psycopg",
    "threading",
)
"""Whose time stays true: spans keep their own, and servers and pools their timeouts."""

_real_time_ns = time_machine.escape_hatch.time.time_ns
_travel: Any = None


def _offset() -> int:
    session: Any = context.get_current().get(SESSION_KEY)
    if session is None:
        return 0
    frame: FrameType | None = sys._getframe(2)  # time_machine's function; then, past the loop, the caller
    kind = _PASSED
    while kind is _PASSED:
        if frame is None:
            return 0
        name = frame.f_globals.get("__name__", "")
        kind = _kinds.get(name) or _kind_of(name)
        frame = frame.f_back
    return 0 if kind is _TRUE else int(getattr(session, "clock_offset", 0))


_PASSED, _TRUE, _RECORDED = "passed over", "true time", "recorded time"
_kinds: dict[str, str] = {}
"""What a module's callers get, worked out once: some ask for the time thirty times a request."""


def _kind_of(name: str) -> str:
    kind = _PASSED if name.startswith("time_machine") else _TRUE if name.startswith(_TRUE_TIME) else _RECORDED
    return _kinds.setdefault(name, kind)


class _SessionClock(time_machine.Traveller):
    """A traveller whose destination is that of the session that asks.

    Upstream: `Traveller.time` and `.time_ns` are what every hook calls
    (https://github.com/adamchainz/time-machine/blob/main/src/time_machine/__init__.py).
    """

    def time_ns(self) -> int:
        return _real_time_ns() + _offset()

    def time(self) -> float:
        return (_real_time_ns() + _offset()) / 1e9


def install() -> None:
    """Puts the clock in place, once. Only a process that replays does this."""
    global _travel
    if _travel is None:
        _travel = time_machine.travel(0, tick=True)
        _travel.start().__class__ = _SessionClock


def uninstall() -> None:
    """Gives the process its clock back."""
    global _travel
    if _travel is not None:
        _travel.stop()
        _travel = None
