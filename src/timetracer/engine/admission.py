"""Opens sessions for what comes in and is recorded."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanContext

from timetracer.engine.guard import say_once
from timetracer.engine.recording import Recording, Terms
from timetracer.engine.spans import is_local_root
from timetracer.plugin import Headers, Inbound

WEBSOCKET = "http.websocket"
"""The type of what passes unrecorded: it has no answer that ends."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_ids = random.SystemRandom()


def caller_of(headers: Headers) -> tuple[int, int]:
    """Returns the trace id and the span id of the caller, as its `traceparent` names them; zeros without one."""
    for name, value in headers:
        if name.lower() == "traceparent":
            found = _TRACEPARENT.fullmatch(value.strip().lower())
            if found:
                return int(found[1], 16), int(found[2], 16)
    return 0, 0


def identity_of(inbound: Inbound | None, span: Any) -> tuple[int, int, int]:
    """Returns trace id, root span id and parent span id of what came in, zeros where they are not known yet."""
    context: SpanContext = span.get_span_context()
    if context.is_valid and not context.is_remote and hasattr(span, "start_time"):
        parent = span.parent.span_id if span.parent is not None else 0
        return context.trace_id, context.span_id, parent
    trace_id, parent_id = caller_of(inbound.headers) if inbound is not None else (0, 0)
    return trace_id, 0, parent_id


class RecordingAdmission:
    """Admits what is sampled and not excluded.

    Args:
        wanted: whether a path or task name is recorded.
        sampled: whether a trace is recorded.
    """

    def __init__(self, terms: Terms, *, wanted: Callable[[str], bool], sampled: Callable[[int], bool]) -> None:
        self.terms, self.wanted, self.sampled = terms, wanted, sampled
        self._open: set[Recording] = set()
        self._looked = 0.0

    def admit(self, inbound: Inbound | None, span: Any) -> Recording | None:
        """Returns a new recording, or None."""
        if inbound is not None and not self._recordable(inbound):
            return None
        trace_id, root_id, parent_id = identity_of(inbound, span)
        if not self.sampled(trace_id or _ids.getrandbits(128)):
            return None
        self._close_abandoned()
        session = Recording(
            self.terms, trace_id=trace_id, root_id=root_id, parent_id=parent_id, ended=self._open.discard
        )
        self._open.add(session)
        return session

    def _close_abandoned(self) -> None:
        """Completes, about once a second, the sessions that only wait for bodies which nobody reads."""
        now = time.monotonic()
        if now - self._looked >= 1.0:
            self._looked = now
            for session in self._open.copy():
                if session.abandoned(now):
                    session.close_now()

    def after_fork(self) -> None:
        """Leaves what is open to the parent, whose calls they are."""
        self._open.clear()

    def close(self) -> None:
        """Completes what is still open: the process ends."""
        for session in self._open.copy():
            session.close_now()

    def claim(self, session: Any, inbound: Inbound) -> Recording | None:
        """Gives the session of a root span to what came in; excluded, it is discarded."""
        if not self._recordable(inbound):
            session.discard()
            return None
        return session  # type: ignore[no-any-return]

    def _recordable(self, inbound: Inbound) -> bool:
        path = inbound.target.partition("?")[0]
        if inbound.type == WEBSOCKET:
            say_once(WEBSOCKET, "a websocket at %s passes untouched: neither it nor what it calls is recorded", path)
            return False
        return self.wanted(path)


def opens_a_session(span: Any, kind: str) -> bool:
    """Whether a root span that nobody claimed opens a session; CLIENT and PRODUCER roots belong to the process."""
    return is_local_root(span) and kind in ("SERVER", "CONSUMER", "INTERNAL")
