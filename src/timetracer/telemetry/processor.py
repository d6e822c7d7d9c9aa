"""The span processor: gives each span to its session, and opens one for a local root that nobody claimed."""

from __future__ import annotations

from typing import Any

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from timetracer.engine.admission import opens_a_session
from timetracer.engine.guard import guarded
from timetracer.engine.sessions import SESSION_KEY, SESSIONS
from timetracer.engine.unseen import UNSEEN


class SessionProcessor(SpanProcessor):
    """Sees every recorded span of a provider. It exports nothing.

    Attributes:
        active: whether it does anything; a provider cannot lose a processor again.
    """

    def __init__(self) -> None:
        self.active = True

    @guarded("taking a span that began")
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Gives a span to its session and marks a session's root."""
        if not self.active:
            return
        here = context.get_current() if parent_context is None else parent_context
        parent = span.parent
        root = parent is None or parent.is_remote
        session: Any = here.get(SESSION_KEY) or self._session(span, root)
        if session is None or session.closed:
            return
        span_id = span.get_span_context().span_id
        session.span_started(span, span_id, root)
        SESSIONS.by_span[span_id] = session
        if root and session is not SESSIONS.process:
            span.set_attributes({key: value for key, value in session.attributes().items() if value})

    def _session(self, span: Span, root: bool) -> Any:
        if not root:
            return SESSIONS.by_span.get(span.parent.span_id) if span.parent is not None else None
        if not opens_a_session(span, span.kind.name):
            return SESSIONS.orphan() or SESSIONS.process
        if SESSIONS.admission is None:
            return SESSIONS.orphan()
        return SESSIONS.begin(None, span) or UNSEEN

    @guarded("marking a root span")
    def _on_ending(self, span: Span) -> None:
        """Writes on a session's root what is known only now: its cassette, its misses."""
        parent = span.parent
        if not self.active or not (parent is None or parent.is_remote):
            return
        session = SESSIONS.by_span.get(span.get_span_context().span_id)
        if session is not None and session is not SESSIONS.process:
            _add_late(span, session.attributes())

    on_ending = _on_ending  # what the specification calls it, once the SDK does

    @guarded("taking a span that ended")
    def on_end(self, span: ReadableSpan) -> None:
        """Gives a finished span to its session."""
        span_context = span.context
        if span_context is None:
            return
        span_id = span_context.span_id
        session = SESSIONS.by_span.get(span_id)
        if session is None:
            return
        if session.closed:  # the process's own, which made room for its next one
            SESSIONS.by_span.pop(span_id, None)
        else:
            session.span_ended(span, span_id)


def _add_late(span: Span, attributes: dict[str, Any]) -> None:
    """Adds attributes to a span that is ending.

    The specification has spans mutable in `OnEnding`; the SDK closes their attributes right before it
    (opentelemetry-sdk 1.45, `Span.end`), and its exporters share them. Without those private names nothing is added.
    """
    kept: Any = getattr(span, "_attributes", None)
    if kept is None or not getattr(kept, "_immutable", False):
        return
    kept._immutable = False
    try:
        for key, value in attributes.items():
            kept[key] = value
    finally:
        kept._immutable = True
