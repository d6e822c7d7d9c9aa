"""The sampler: lets spans be recorded that OTel's own sampler drops, where they belong to a session.

DROP becomes RECORD_ONLY: the span processors see the span, and no exporter does, for its context is not sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from timetracer.engine.guard import guard
from timetracer.engine.sessions import SESSION_KEY, SESSIONS
from timetracer.engine.unseen import UNSEEN

_OPENING = (SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.INTERNAL)


class RecordingSampler(Sampler):
    """Stands before the provider's own sampler and asks it first.

    Only spans that a cassette will hold are kept: each costs what a span costs.

    Args:
        inner: the provider's own sampler.
        wanted: whether the trace of a local root is recorded.
    """

    def __init__(self, inner: Sampler, wanted: Callable[[int], bool]) -> None:
        self.inner, self.wanted = inner, wanted

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Returns what the own sampler says, but RECORD_ONLY where it drops a span of a session."""
        more = () if trace_state is None else (trace_state,)
        result = self.inner.should_sample(parent_context, trace_id, name, kind, attributes, links, *more)
        if result.decision is Decision.DROP:
            with guard("sampling a span"):
                if self._belongs(parent_context, trace_id, kind or SpanKind.INTERNAL):
                    return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def _belongs(self, parent_context: Context | None, trace_id: int, kind: SpanKind) -> bool:
        here = context.get_current() if parent_context is None else parent_context
        session: Any = here.get(SESSION_KEY)
        if session is None:
            parent = trace.get_current_span(here).get_span_context()
            if parent.is_valid and not parent.is_remote:
                session = SESSIONS.by_span.get(parent.span_id)
            elif kind in _OPENING:
                return SESSIONS.admission is not None and self.wanted(trace_id)
            else:
                session = SESSIONS.process
        return session is not None and session is not UNSEEN and not session.closed

    def get_description(self) -> str:
        """Returns the own sampler's description."""
        return self.inner.get_description()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
