"""A script's root: one INTERNAL span and one session around a process that no inbound call explains.

`timetracer run` asks for it. Servers have roots of their own, one a request, and get none.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from pathlib import PurePath
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from timetracer import config
from timetracer.engine.guard import guard
from timetracer.engine.sessions import SESSION_KEY, SESSIONS
from timetracer.plugin import Inbound, Visit
from timetracer.runtime import exits, process

_TYPE = "script.run"
_SERVERS = frozenset(
    {"celery", "daphne", "granian", "gunicorn", "hypercorn", "mod_wsgi-express", "uvicorn", "waitress-serve"}
)
_SERVING = frozenset({"runserver", "runserver_plus", "runmodwsgi", "run", "dev", "serve"})
_MANAGERS = frozenset({"manage.py", "django-admin", "django", "fastapi", "flask", "litestar"})
_WITH_A_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def script_name(arguments: list[str]) -> str | None:
    """Returns what a Python process runs, by its command line; None for an interactive one and for servers.

    Args:
        arguments: `sys.orig_argv`.
    """
    rest = arguments[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-c", "-m", "-"):
        rest = rest[2:] if rest[0] in _WITH_A_VALUE else rest[1:]
    if not rest:
        return None
    if rest[0] == "-m" and len(rest) > 1:
        name, given = rest[1].removesuffix(".__main__"), rest[2:]
    elif rest[0] in ("-c", "-"):
        return "python"
    else:
        name, given = PurePath(rest[0]).name, rest[1:]
        if name == "__main__.py":
            name = PurePath(rest[0]).parent.name
    known = name.removesuffix(".exe")
    serves = known in _SERVERS or (known in _MANAGERS and not _SERVING.isdisjoint(given[:3]))
    return None if serves else name


def begin() -> None:
    """Opens the script's session, where `timetracer run` asked for it or its cassette is replayed, until the end."""
    marked = config.taken(config.SCRIPT_MARK) is not None
    name = script_name(sys.orig_argv)
    SESSIONS.scripted = name is not None
    if name is None or SESSIONS.admission is None or not (marked or _replayed(name)):
        return
    with guard("opening a script's session"):
        inbound = Inbound(type=_TYPE, method="RUN", target=name)
        span = trace.get_tracer("timetracer").start_span(name, kind=SpanKind.INTERNAL)
        claimed = SESSIONS.by_span.get(span.get_span_context().span_id)
        # Without an SDK there is nothing to claim.
        session: Any = SESSIONS.begin(inbound, span) if claimed is None else SESSIONS.admission.claim(claimed, inbound)
        if session is not None:
            _Script(session, span, inbound).hold()


def _replayed(name: str) -> bool:
    state = process.started()
    cards = state.library.cards if state is not None and state.library is not None else []
    calls = (card.cassette.inbound for card in cards)
    return any(call is not None and (call.type, call.target) == (_TYPE, name) for call in calls)


class _Script:
    """The session of a script while it runs: also of its threads, whose context is lost."""

    def __init__(self, session: Any, span: Span, inbound: Inbound) -> None:
        self.session, self.span = session, span
        self.visit: Visit = session.visit(inbound)
        self._ended = False
        self._code: int | None = None

    def hold(self) -> None:
        """Keeps the session open until the process ends, also by SIGTERM."""
        self.session.hold()
        SESSIONS.orphan, SESSIONS.host = self._open_one, self.session
        context.attach(context.set_value(SESSION_KEY, self.session, trace.set_span_in_context(self.span)))
        atexit.register(self.end)
        exits.watch(self._leaving)
        os.register_at_fork(after_in_child=self._leave)
        before = signal.getsignal(signal.SIGTERM)
        if callable(before) and threading.current_thread() is threading.main_thread():

            def terminate(number: int, frame: Any) -> None:
                self._leaving(128 + number)  # as shells say it
                self.end()
                before(number, frame)

            signal.signal(signal.SIGTERM, terminate)

    def _leaving(self, code: int) -> None:
        self._code = code if self._code is None else self._code  # of two, the outer one dies first

    def _open_one(self) -> Any:
        return None if self.session.closed or self._ended else self.session

    def _leave(self) -> None:
        """A forked child's calls are not the script's: its cassette is written by the parent."""
        self._ended = True
        SESSIONS.host = None
        context.attach(context.set_value(SESSION_KEY, None))

    def end(self) -> None:
        """Ends the root span and lets go of the session; an exception that ended the script is noted."""
        if self._ended:
            return
        self._ended = True
        with guard("closing a script's session"):
            error = getattr(sys, "last_value", None)  # set before atexit's functions run
            if isinstance(error, BaseException):
                self.visit.error(error)
                self.span.record_exception(error)
                self.span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
                self._code = self._code or (128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1)
            elif self._code:
                self.session.failed = True
                self.span.set_status(Status(StatusCode.ERROR, f"exit code {self._code}"))
            if self._code is not None:
                self.visit.answer(status=self._code)
            self.span.end()
            self.session.release()
