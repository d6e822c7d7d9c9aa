"""Finds the session that a call belongs to: in the OTel context, by span, or the process's own.

A session is everything that belongs to one inbound call. There are two kinds, the recorder's and the player's; both
give each plugin a `Side`, and nothing else here or in the wrappers asks which kind it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from opentelemetry import context, trace

from timetracer.engine.drivers import Core
from timetracer.engine.links import Link
from timetracer.errors import ReplayError
from timetracer.plugin import Call, Exchange, Inbound, Open, Plugin, Send, Visit

SESSION_KEY = "timetracer-session"
_SUPPRESSED = context._SUPPRESS_INSTRUMENTATION_KEY  # of exporters; instrumentors use the plain name as well
SILENT_KEY = "timetracer-silent"
"""Names of the plugins that are silent: a call of their owner is under way."""


class Side(Protocol):
    """What happens to a plugin's calls in a session: a core that records or answers; None runs the real function."""

    stand_in: bool

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core | None: ...

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core | None: ...

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core | None: ...

    def known(self, plugin: Plugin, role: Open, call: Call) -> Any: ...


class Session(Protocol):
    """One inbound call, its events and its spans."""

    task_counts: dict[str, int]
    ranked: bool  # whether its tasks have lanes
    closed: bool

    @property
    def sides(self) -> Mapping[str, Side | None]:
        """What `side` returned, by the plugin's name: asked first, it is a step less."""

    def side(self, plugin: Plugin) -> Side | None:
        """Returns what happens to this plugin's calls; None to let them pass unseen."""

    def visit(self, inbound: Inbound) -> Visit:
        """Notes what came in."""

    def hold(self) -> None:
        """Keeps the session open until the same number of `release` calls came."""

    def release(self) -> None:
        """Ends one hold; the last one completes the session."""

    def span_started(self, span: Any, span_id: int, root: bool) -> None:
        """Notes a span that began in this session; `Sessions.by_span` has it from now on.

        Args:
            root: whether it is a local root.
        """

    def span_ended(self, span: Any, span_id: int) -> None:
        """Takes a finished span."""

    def attributes(self) -> dict[str, Any]:
        """Returns the `timetracer.*` attributes of the root span."""


class Admission(Protocol):
    """Decides what comes in: returns a new session for it, or None to let it pass unseen."""

    def admit(self, inbound: Inbound | None, span: Any) -> Session | None: ...

    def claim(self, session: Any, inbound: Inbound) -> Session | None:
        """Gives a session that a root span opened to what came in; None where that is excluded."""


class Sessions:
    """The sessions of this process, and how to find the one a call belongs to.

    Attributes:
        admission: opens sessions for inbound calls; None while timetracer is off.
        process: the session of calls that belong to no inbound call; None to let them pass.
        orphan: returns the session that an orphan (a call whose context was lost) joins, or None.
        at_end: called when an application has ended in order.
        host: the session of a script, if there is one: what comes in while it runs does not join it.
        scripted: whether this process runs a script: then what it draws outside of any call belongs to its own session.
            A server's workers share no order in which they draw, and draw for as long as they live.
    """

    def __init__(self) -> None:
        self.host: Session | None = None
        self.scripted = False
        self.admission: Admission | None = None
        self.process: Session | None = None
        self.orphan: Callable[[], Session | None] = lambda: None
        self.at_end: Callable[[], None] = lambda: None
        self.by_span: dict[int, Session] = {}
        self.searching = False  # whether a call without a session in its context may have one all the same

    def arm(
        self, *, admission: Admission | None, process: Session | None, orphan: Callable[[], Session | None] | None
    ) -> None:
        """Turns the process's mode on (or, with nothing given, off)."""
        self.admission, self.process = admission, process
        self.orphan = orphan or (lambda: None)
        self.searching = bool(admission or process or orphan)

    def after_fork(self) -> None:
        """Starts anew in a forked child: the parent's spans end there."""
        self.by_span.clear()

    def current(self) -> Session | None:
        """Returns the session of the running code, by context, span, or as an orphan."""
        found: Session | None = context.get_current().get(SESSION_KEY)  # type: ignore[assignment]
        return found if found is not None or not self.searching else self._search()

    def side(self, plugin: Plugin) -> Side | None:
        """Returns what happens to a call of `plugin` made here and now. On the path of every call: keep it short."""
        here = context.get_current()
        session: Any = here.get(SESSION_KEY)
        if session is None:
            if not self.searching:
                return None
            session = self._search()
            if session is None:
                return None
        if here.get("suppress_instrumentation") or here.get(_SUPPRESSED):
            return None
        silent: Any = here.get(SILENT_KEY)
        if silent is not None and plugin.name in silent:
            return None
        try:
            return session.sides[plugin.name]  # type: ignore[no-any-return]
        except KeyError:
            return session.side(plugin)  # type: ignore[no-any-return]

    @staticmethod
    def silences(name: str) -> bool:
        """Whether a call of an owner of the plugin called `name` is under way."""
        silent: Any = context.get_current().get(SILENT_KEY)
        return silent is not None and name in silent

    def _search(self) -> Session | None:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            found = self.by_span.get(span.span_id)
            if found is not None:
                return found
        return self.orphan() or self.process

    def drawing(self) -> Session | None:
        """Returns the session of what code draws that has none in its context: the one that its calls belong to."""
        found = self._search() if self.searching else None
        return found if self.scripted or found is not self.process else None

    def rankable(self) -> Session | None:
        """Returns the session in whose lanes a task created here counts; None beneath a captured call."""
        here = context.get_current()
        session: Any = here.get(SESSION_KEY)
        if session is None and self.searching:
            session = self.by_span.get(trace.get_current_span().get_span_context().span_id)
        return None if session is None or SILENT_KEY in here or not session.ranked else session

    def begin(self, inbound: Inbound | None, span: Any) -> Session | None:
        """Opens a session for what came in, or for a root span that nobody claimed."""
        return None if self.admission is None else self.admission.admit(inbound, span)


SESSIONS = Sessions()
"""The sessions of this process."""


def kept(error: ReplayError) -> ReplayError:
    """Keeps an error as a miss of the current session where that is a replay; returns it to be raised."""
    session: Any = SESSIONS.current()
    if getattr(session, "fenced", False):
        session.missed(error)
    return error


class attached:
    """Has a key of the OTel context hold a value inside the block.

    A class, not a generator: on the path of every call this takes 0.8 us and that 2.
    """

    __slots__ = ("_key", "_token", "_value")

    def __init__(self, key: str, value: Any) -> None:
        self._key, self._value = key, value

    def __enter__(self) -> None:
        self._token = context.attach(context.Context({**context.get_current(), self._key: self._value}))

    def __exit__(self, *raised: object) -> None:
        context.detach(self._token)


def current(session: Any) -> attached:
    """Makes `session` the current one inside the block."""
    return attached(SESSION_KEY, session)


class silenced:
    """Keeps the named plugins silent inside the block, besides those that are already."""

    __slots__ = ("_names", "_token")

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __enter__(self) -> None:
        here = context.get_current()
        before: Any = here.get(SILENT_KEY)
        names = before | self._names if before else self._names
        self._token = context.attach(context.Context({**here, SILENT_KEY: names}))

    def __exit__(self, *raised: object) -> None:
        context.detach(self._token)
