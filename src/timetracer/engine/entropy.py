"""What an app draws anew in each run (`uuid4`, `uuid1`, `secrets`, `random`, ...), noted in a session and given again.

The sources are wrapped where the standard library looks them up. A draw outside any session, or of OpenTelemetry's
ids, is what it always was. Draws are told apart by lane, function, arguments and the module that asked, so that one
library's draws do not shift another's.
"""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections.abc import Callable
from typing import Any

from opentelemetry import context

from timetracer.engine.guard import attempt
from timetracer.engine.sessions import SESSION_KEY, SESSIONS, SILENT_KEY, silenced

_OWN_SOURCE = ("opentelemetry.", "timetracer.", "tempfile", "asyncio.", "multiprocessing.", "ssl", "urllib3.util.retry")
_MIDDLEMEN = frozenset({"random", "secrets", "django.utils.crypto"})
_real_urandom = os.urandom


_ids = random.Random()
"""Gives OTel its ids without the app's `random`: a seeded or replayed app must not repeat span ids.

A generator of its own is as quick as OTel's; asking the system for each id took 10 us a span.
"""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)  # a child draws ids of its own


def _session(depth: int) -> tuple[Any, str]:
    here = context.get_current()
    if SILENT_KEY in here:
        return None, ""
    session: Any = here.get(SESSION_KEY) or SESSIONS.drawing()
    if session is None:
        return None, ""
    frame: Any = sys._getframe(depth)
    while (asker := frame.f_globals.get("__name__", "")) in _MIDDLEMEN and frame.f_back is not None:
        frame = frame.f_back
    return (None, "") if asker.startswith(_OWN_SOURCE) else (session, asker)


def _noted(name: str, drawn: Any, asked: tuple[Any, ...]) -> Any:
    session, asker = _session(4)
    return drawn if session is None else session.draw(f"{name}({','.join(map(str, asked))}) by {asker}", drawn)


def _drawing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def draw(*args: Any, **kwargs: Any) -> Any:
        drawn = real(*args, **kwargs)
        noted = attempt("noting a draw", _noted, name, drawn, (*args, *kwargs.values()))
        return drawn if noted is None else noted

    draw.__name__, draw.__doc__ = name, real.__doc__
    return draw


def _whole(real: Callable[..., float]) -> Callable[..., float]:
    """Makes one draw of a function that keeps half of what it drew for its next call, in whatever session that is."""

    def gauss(*args: Any, **kwargs: Any) -> float:
        with silenced(frozenset()):
            return real(*args, **kwargs)

    return gauss


def _time_based(real: Callable[[], tuple[bytes, Any]]) -> Callable[[], tuple[bytes, Any]]:
    """Notes the bytes of a `uuid1`, which the system makes of its own time and counter."""

    def generate() -> tuple[bytes, Any]:
        drawn, safe = real()
        noted = attempt("noting a draw", _noted, "uuid.uuid1", drawn, ())
        return drawn if noted is None else noted, safe

    return generate


_undo: list[Callable[[], None]] = []


def install() -> None:
    """Wraps the sources, once.

    Upstream: `uuid.uuid4` and `secrets` call `os.urandom` and `random.SystemRandom`, which looks up `random._urandom`
    (https://github.com/python/cpython/blob/3.13/Lib/random.py); `random`'s functions are bound methods of
    `random._inst`, whose integers all come from its `getrandbits`. `uuid.uuid1` calls `uuid._generate_time_safe` where
    the system has one (https://github.com/python/cpython/blob/3.13/Lib/uuid.py).
    """
    if _undo:
        return
    hidden = random._inst
    _set(os, "urandom", _drawing("os.urandom", os.urandom))
    _set(random, "_urandom", _drawing("secrets", _real_urandom))
    for name in ("random", "getrandbits"):
        wrapped = _drawing(f"random.{name}", getattr(hidden, name))
        _set(hidden, name, wrapped)
        _set(random, name, wrapped)
    _set(random, "gauss", _drawing("random.gauss", _whole(hidden.gauss)))
    if (generate := getattr(uuid, "_generate_time_safe", None)) is not None:
        _set(uuid, "_generate_time_safe", _time_based(generate))
    _set_otel_ids()


def _set_otel_ids() -> None:
    try:
        from opentelemetry.sdk.trace import id_generator
    except ImportError:
        return
    _set(id_generator, "random", _ids)


def _set(owner: Any, name: str, value: Any) -> None:
    before = vars(owner).get(name, _undo)
    setattr(owner, name, value)

    def undo() -> None:
        if before is _undo:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    _undo.append(undo)


def uninstall() -> None:
    """Puts the sources back."""
    while _undo:
        _undo.pop()()
