"""The session of what is not recorded: a trace that was not sampled, so that its calls do not become the process's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from timetracer.engine.sessions import SESSIONS, current
from timetracer.plugin import BodyEnd, Headers, Inbound, Plugin, Sink, Value, Visit


class _Nobody:
    """A sink and a visit of which nothing is kept; `resume` makes its session current, if it has one."""

    trusted = False
    reads_ahead = False

    def __init__(self, session: Unseen | None) -> None:
        self._session = session

    def route(self, name: str) -> None: ...

    def answer(self, value: Value = None, *, status: int | None = None, headers: Headers = ()) -> None: ...

    def error(self, error: BaseException) -> None: ...

    def body(self) -> Sink:
        return self

    def request_body(self) -> Sink:
        return self

    def feed(self, item: Value) -> None: ...

    def feed_all(self, items: Sequence[Value]) -> None: ...

    def finish(self, end: BodyEnd = "complete", error: BaseException | None = None) -> None: ...

    def note(self, function: Callable[..., Value], *args: Any) -> None: ...

    def resume(self) -> AbstractContextManager[None]:
        return nullcontext() if self._session is None else current(self._session)


class Unseen:
    """Lets everything pass and keeps nothing."""

    closed = False
    ranked = False
    guest = None

    def __init__(self) -> None:
        self.task_counts: dict[str, int] = {}
        self.sides: dict[str, None] = {}

    def side(self, plugin: Plugin) -> None:
        """Lets a call pass."""
        self.sides[plugin.name] = None

    def visit(self, inbound: Inbound) -> Visit:
        """Keeps nothing of what came in."""
        return REFUSED

    def hold(self) -> None:
        """Nothing is kept open."""

    def release(self) -> None:
        """Nothing was kept open."""

    def discard(self) -> None:
        """There is nothing to discard."""

    def draw(self, source: str, drawn: Any) -> Any:
        """Returns what was drawn."""
        return drawn

    def span_started(self, span: Any, span_id: int, root: bool) -> None:
        """Keeps nothing."""

    def span_ended(self, span: Any, span_id: int) -> None:
        """Keeps nothing, but lets go of the span."""
        SESSIONS.by_span.pop(span_id, None)

    def attributes(self) -> dict[str, Any]:
        """A root that is not recorded bears no mark."""
        return {}


UNSEEN = Unseen()
"""The one session of everything that is not recorded."""
NOBODY = _Nobody(None)
"""Visits a session that is current already."""
REFUSED = _Nobody(UNSEEN)
"""Visits nothing: what came in is not admitted."""
