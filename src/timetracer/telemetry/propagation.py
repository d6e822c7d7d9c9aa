"""Keeps the session in the context where OTel's instrumentors begin a request with a context of their own.

`extract` without a context starts from an empty one, and the instrumentors of servers attach what it returns: whatever
was current, our session included, is gone beneath them. The global propagator is therefore wrapped, whoever sets it.
Upstream: `TraceContextTextMapPropagator.extract`, `opentelemetry.instrumentation.utils._start_internal_or_server_span`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from opentelemetry import context, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator

from timetracer.engine.sessions import SESSION_KEY


class SessionKeeping(TextMapPropagator):
    """Extracts as the propagator that was set does, on top of the current session where there is one."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner
        self.inject = inner.inject  # type: ignore[method-assign]  # a frame less at each call that a service makes

    def extract(self, carrier: Any, context: Context | None = None, *args: Any, **kwargs: Any) -> Context:
        return self.inner.extract(carrier, _with_session() if context is None else context, *args, **kwargs)

    def inject(self, *args: Any, **kwargs: Any) -> None:
        self.inner.inject(*args, **kwargs)

    @property
    def fields(self) -> set[str]:
        return self.inner.fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _with_session() -> Context | None:
    session = context.get_current().get(SESSION_KEY)
    return None if session is None else Context({SESSION_KEY: session})


_real_set: Callable[[TextMapPropagator], None] | None = None


def attach() -> None:
    """Wraps the global propagator, and any that is set later."""
    global _real_set
    if _real_set is None:
        _real_set = propagate.set_global_textmap
        propagate.set_global_textmap = _wrapping(_real_set)  # type: ignore[assignment]
    propagate.set_global_textmap(propagate.get_global_textmap())


def _keeping(propagator: TextMapPropagator) -> TextMapPropagator:
    return propagator if isinstance(propagator, SessionKeeping) else SessionKeeping(propagator)


def _wrapping(real: Callable[[TextMapPropagator], None]) -> Callable[[TextMapPropagator], None]:
    @wraps(real)
    def set_global_textmap(http_text_format: TextMapPropagator) -> None:
        real(_keeping(http_text_format))

    return set_global_textmap


def detach() -> None:
    """Gives the global propagator back as it was set."""
    global _real_set
    if _real_set is not None:
        propagate.set_global_textmap = _real_set  # type: ignore[assignment]
        _real_set = None
    present = propagate.get_global_textmap()
    if isinstance(present, SessionKeeping):
        propagate.set_global_textmap(present.inner)
