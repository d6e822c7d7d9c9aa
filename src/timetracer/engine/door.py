"""The door: integrations open it with what came in, and a session begins, joins or is passed by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import INVALID_SPAN, SpanKind

from timetracer.engine.guard import guard
from timetracer.engine.sessions import SESSION_KEY, SESSIONS, current
from timetracer.engine.unseen import NOBODY, REFUSED
from timetracer.plugin import Inbound, Visit

_INBOUND = (SpanKind.SERVER, SpanKind.CONSUMER)


class _Door:
    """Opens a session for what came in; the block is the call itself.

    A session that is current already is joined: a test that drives the app, or an inner integration of the same call. A
    root span that nobody claimed yet is claimed.
    """

    def __call__(self, describe: Callable[..., Inbound], *came: Any) -> AbstractContextManager[Visit]:
        return (_served if SESSIONS.host is None and not _left_over() else _apart)(describe, came)

    def ended(self) -> None:
        with guard("the end of an application"):
            SESSIONS.at_end()


door = _Door()


@contextmanager
def _apart(describe: Callable[..., Inbound], came: tuple[Any, ...]) -> Iterator[Visit]:
    """Serves a call outside the trace of the script or request that is current, unless its span is there already."""
    span: Any = trace.get_current_span()
    leave = _left_over() or (_hosted() and getattr(span, "kind", None) not in _INBOUND)
    with trace.use_span(INVALID_SPAN) if leave else nullcontext(), _served(describe, came) as visit:
        yield visit


def _hosted() -> bool:
    return context.get_value(SESSION_KEY) is SESSIONS.host


def _left_over() -> bool:
    """Whether what is current is a request that was answered: servers begin a pipelined one in the context of the last.

    Upstream: uvicorn's `on_response_complete`
    (https://github.com/encode/uvicorn/blob/0.34.0/uvicorn/protocols/http/httptools_impl.py).
    """
    here: Any = context.get_value(SESSION_KEY)
    guest = getattr(here, "guest", None)
    return here is not None and (here.closed or (guest is not None and guest.answered))


@contextmanager
def _served(describe: Callable[..., Inbound], came: tuple[Any, ...]) -> Iterator[Visit]:
    session: Any = None
    with guard("opening a session"):
        if not _joining():
            inbound = describe(*came)
            session = _begin(inbound)
    if session is None:
        joined = SESSIONS.admission is None or _joining()
        with NOBODY.resume() if joined else REFUSED.resume():  # what is refused is nobody's, not even the process's
            yield NOBODY if joined else REFUSED
        return
    visit: Any = NOBODY
    with guard("describing an inbound call"):
        visit = session.visit(inbound)
    session.hold()
    begun = len(session.roots)
    try:
        with current(session):
            yield visit
    except BaseException as error:
        visit.note(visit.error, error)
        with guard("spans that an exception left open"):
            session.give_up(session.roots[begun:])
        raise
    finally:
        with guard("closing a session"):
            session.release()


def _joining() -> bool:
    """Whether what comes in joins the session that is current."""
    here = context.get_value(SESSION_KEY)
    return here is not None and here is not SESSIONS.host and not _left_over()


def _begin(inbound: Inbound) -> Any:
    span = trace.get_current_span()
    claimed = SESSIONS.by_span.get(span.get_span_context().span_id)
    if claimed is None or getattr(claimed, "guest", None) is not None:
        return SESSIONS.begin(inbound, span)
    admission = SESSIONS.admission
    return claimed if admission is None else admission.claim(claimed, inbound)
