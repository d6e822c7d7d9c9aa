"""Carries the session into threads that are started inside it, which otherwise begin with an empty context.

Only the session is carried, and only from code that has one: whatever else a thread sees is as it was. OTel's threading
instrumentor, where it is on, carries the whole context and agrees with this.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from opentelemetry import context

from timetracer.engine.guard import attempt
from timetracer.engine.sessions import SESSION_KEY, SILENT_KEY

_undo: list[Callable[[], None]] = []
_submitting = ContextVar("timetracer-submitting", default=False)
"""Whether this thread (or greenlet) hands a task to a pool: a thread that the pool starts outlives the session."""


def _carried() -> Any:
    """Returns the session to carry; none beneath a captured call, whose threads are the client's own."""
    here = context.get_current()
    return None if SILENT_KEY in here else here.get(SESSION_KEY)


def _carrying(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Returns the function with the session to carry; None where there is none."""
    session = _carried()
    return None if session is None else _in(session, function)


def _in(session: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if context.get_current().get(SESSION_KEY) is session:
            return function(*args, **kwargs)
        token = context.attach(context.set_value(SESSION_KEY, session))
        try:
            return function(*args, **kwargs)
        finally:
            context.detach(token)

    return run


def install() -> None:
    """Wraps `Thread.start` and `ThreadPoolExecutor.submit`, once."""
    if _undo:
        return
    real_start: Any = threading.Thread.start
    real_submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(real_start)
    def start(self: threading.Thread) -> None:
        carrying = None if _submitting.get() else attempt("carrying a session into a thread", _carrying, self.run)
        if carrying is not None:
            self.run = carrying  # type: ignore[method-assign]
        real_start(self)

    @functools.wraps(real_submit)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        carrying = attempt("carrying a session into a thread", _carrying, fn)
        token = _submitting.set(True)
        try:
            future: Future[Any] = real_submit(self, fn if carrying is None else carrying, *args, **kwargs)
        finally:
            _submitting.reset(token)
        return future

    threading.Thread.start = start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign, assignment]
    _undo.append(lambda: _restore(real_start, real_submit))


def _restore(real_start: Any, real_submit: Any) -> None:
    threading.Thread.start = real_start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = real_submit  # type: ignore[method-assign]


def uninstall() -> None:
    """Puts the real functions back."""
    while _undo:
        _undo.pop()()
