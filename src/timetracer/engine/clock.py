"""The clock of a replayed session: it tells the time at which the session was recorded, to that session alone.

It stands beneath time-machine's hooks, which answer `time.time` and `datetime.now` for C and Python callers alike; ours
reads the context at each call, so two replays at once each have their own time, and everything else the true one.
"""

from __future__ import annotations

import sys
import uuid
from types import FrameType
from typing import Any

import time_machine
from opentelemetry import context

from timetracer.engine.guard import attempt
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


def _now() -> int:
    true: int = _real_time_ns()
    told = attempt("telling the time", _told, true)
    return true if told is None else told


def _told(true: int) -> int:
    """Returns the time for who asks, once the clock is in place: also where the process records again."""
    session: Any = context.get_current().get(SESSION_KEY)
    if session is None:
        return true
    frame: FrameType | None = sys._getframe(4)  # time_machine's function; then, past the loop, the caller
    kind = _PASSED
    while kind is _PASSED:
        if frame is None:
            return true
        name = frame.f_globals.get("__name__", "")
        kind = _kinds.get(name) or _kind_of(name)
        frame = frame.f_back
    tell: Any = None if kind is _TRUE else getattr(session, "clock", None)
    return true if tell is None else int(tell(true))


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
        return _now()

    def time(self) -> float:
        return _now() / 1e9


def install() -> None:
    """Puts the clock in place, once. Only a process that replays does this."""
    global _travel
    if _travel is None:
        _travel = time_machine.travel(0, tick=True)
        generate = getattr(uuid, "_generate_time_safe", None)
        _travel.start().__class__ = _SessionClock
        # time-machine has `uuid1` ask the clock; what `entropy` put there gives the recorded one.
        setattr(uuid, "_generate_time_safe", generate)  # noqa: B010
        # It has a pytest plugin, and pytest warns of a plugin that it comes too late to rewrite, unless that says so
        # (https://github.com/pytest-dev/pytest/blob/8.4.0/src/_pytest/assertion/rewrite.py, `mark_rewrite`).
        time_machine.__doc__ = f"{time_machine.__doc__ or ''}\nPYTEST_DONT_REWRITE"


def uninstall() -> None:
    """Gives the process its clock back."""
    global _travel
    if _travel is not None:
        _travel.stop()
        _travel = None
