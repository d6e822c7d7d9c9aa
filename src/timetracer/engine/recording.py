"""A session that is recorded: collects events, spans and draws of one inbound call, and becomes a cassette."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from timetracer import values
from timetracer.cassette import model
from timetracer.engine.bodies import Budget
from timetracer.engine.guard import say_once
from timetracer.engine.guests import Guest
from timetracer.engine.lanes import current_lane
from timetracer.engine.measures import MEASURES
from timetracer.engine.recorder import Recorder
from timetracer.engine.spans import describe_span
from timetracer.engine.takes import Take
from timetracer.plugin import Inbound, Plugin

_ids = random.SystemRandom()
BODY_WAIT_SECONDS = 30.0
"""A cassette waits so long for bodies that the app neither reads to the end nor closes."""
FULL = 1000
"""The process's own session makes room for the next one at so many events."""
DRAWN_BYTES = 16 * 1024 * 1024
"""So much of what the app draws is kept: a simulation may draw for hours."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every recording of this process.

    Attributes:
        captures: whether a plugin is recorded.
        budget: bytes held in memory over all sessions.
        body_limit: bytes kept of one body at most.
        completed: takes over a finished session: it is encoded, redacted and written elsewhere.
        spans: the sessions found by span, kept up to date here.
    """

    captures: Callable[[Plugin], bool]
    budget: Budget
    body_limit: int
    completed: Callable[[Recording], None]
    spans: dict[int, Any]
    service: str | None = None
    environment: str | None = None
    recorder: str | None = None
    errors_only: bool = False
    store_request_body: bool = True
    store_response_body: bool = True
    resource: dict[str, Any] = msgspec.field(default_factory=dict)


class Recording:
    """One inbound call (or test, script, process) while it is recorded.

    Attributes:
        path: where the cassette goes; None to name it by what came in.

    Args:
        turn_over: called once this holds `FULL` events, where nobody else would end it (the process's own).
        ended: called when it ends, before it is handed over.
    """

    ranked = True

    def __init__(
        self,
        terms: Terms,
        *,
        trace_id: int = 0,
        root_id: int = 0,
        parent_id: int = 0,
        path: str | None = None,
        turn_over: Callable[[Recording], None] | None = None,
        ended: Callable[[Recording], None] | None = None,
    ) -> None:
        self._on_end = ended
        self.terms, self.path, self._turn_over = terms, path, turn_over
        self.trace_id, self.root_id, self.parent_id = trace_id, root_id, parent_id
        self.budget, self.body_limit = terms.budget, terms.body_limit
        self.stores_request_body = terms.store_request_body
        self.stores_response_body = terms.store_response_body
        self.epoch = time.time_ns()
        self.task_counts: dict[str, int] = {}
        self.takes: list[Take] = []
        self.shared: dict[int, Take] = {}
        self.draws: dict[tuple[str, str], list[Any]] = {}
        self._drawn_bytes = 0
        self.finished_spans: list[Any] = []
        self.failed = False
        self.closed = False
        self.discarded = False
        self.ended: int | None = None
        self.guest: Guest | None = None
        self._holds: list[None] = []  # appending and popping need no lock, as counting would: 0.5 us a call
        self._open_bodies = 0
        self._waiting_since: float | None = None
        self._lock = threading.RLock()  # a signal handler may close what this very thread is about to
        self.sides: dict[str, Recorder | None] = {}
        self._span_ids: list[int] = []
        self.roots: list[int] = []  # local roots: nearly always one

    # -- what the engine asks of a session

    def side(self, plugin: Plugin) -> Recorder | None:
        """Returns the recorder, if the plugin is captured."""
        return self.sides.setdefault(plugin.name, Recorder(self) if self.terms.captures(plugin) else None)

    def hold(self) -> None:
        """Keeps the cassette open."""
        self._holds.append(None)

    def body_opened(self) -> None:
        """Keeps the cassette open for a body that the app has yet to read; see `abandoned`."""
        with self._lock:
            self._holds.append(None)
            self._open_bodies += 1

    def body_ended(self) -> None:
        """Ends the hold of one such body."""
        with self._lock:
            self._open_bodies -= 1
        self.release()

    def abandoned(self, now: float) -> bool:
        """Whether nothing is left to wait for but bodies that nobody has read on or closed for `BODY_WAIT_SECONDS`.

        Args:
            now: `time.monotonic()`.
        """
        with self._lock:
            if len(self._holds) != self._open_bodies or self.closed:
                self._waiting_since = None
                return False
            self._waiting_since = self._waiting_since or now
            return now - self._waiting_since > BODY_WAIT_SECONDS

    def release(self) -> None:
        """Ends one hold; the last one hands the session over to be written."""
        if self._holds:  # else it was let go of once too often, which ends nothing
            self._holds.pop()
        if self._holds:
            return
        with self._lock:
            if self._holds or self.closed:
                return
            self.closed = True
        self._complete()

    def _complete(self) -> None:
        self.end_here()
        if self.wanted:
            self.terms.completed(self)
        else:
            self.budget.release_bytes(self.counted())
            self.let_go()

    def let_go(self) -> None:
        """Forgets what it holds: it is written, or will not be.

        Its events know it in turn. Left to the garbage collector, sessions were kept until that looked at everything
        the app has, and made it do so more often: 12 us a call.
        """
        self.takes, self.shared, self.draws, self.finished_spans, self.guest = [], {}, {}, [], None
        self.sides.clear()

    def end_here(self) -> None:
        """Ends the session without handing it over."""
        self.closed = True
        self.ended = time.time_ns()
        if self._on_end is not None:
            self._on_end(self)
        for span_id in self._span_ids:
            self.terms.spans.pop(span_id, None)

    @property
    def wanted(self) -> bool:
        """Whether a cassette is written of it: not of what is excluded, nor of a success where only errors are kept."""
        if self.discarded or (self.terms.errors_only and not self.failed):
            return False
        return self._turn_over is None or bool(self.takes)

    def close_now(self) -> None:
        """Completes the session with whatever is there: the process ends, or waited long enough."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._complete()

    def discard(self) -> None:
        """Keeps nothing of this session: what came in is excluded."""
        self.discarded = True

    # -- events

    def add(self, take: Take) -> None:
        """Takes a new event, in order; a late one is counted, for its cassette is closed."""
        if self.closed:
            MEASURES.late_calls += 1
            say_once(
                "late", "a call was made after its cassette was closed and is not in it (further ones are counted)"
            )
            return
        take.eid = len(self.takes)
        self.takes.append(take)
        if self._turn_over is not None and len(self.takes) >= FULL:
            self._turn_over(self)

    def share(self, take: Take) -> None:
        """Takes an event that belongs to a connection; once, however often it is used."""
        self.shared[id(take)] = take

    def draw(self, source: str, drawn: Any) -> Any:
        """Notes what the app drew from a source of entropy, and returns it."""
        if self.closed:
            return drawn
        size = sys.getsizeof(drawn)
        if self._drawn_bytes + size > DRAWN_BYTES:
            say_once("draws", "more random values were drawn than a cassette keeps; a replay draws the others anew")
        else:
            self._drawn_bytes += size
            self.draws.setdefault((current_lane(), source), []).append(drawn)
        return drawn

    # -- spans

    def span_started(self, span: Any, span_id: int, root: bool) -> None:
        """Notes a span that began in this session; a local root holds it open, and the first one names it."""
        if self._turn_over is None:
            self._span_ids.append(span_id)
        if not self.trace_id:
            self.trace_id = span.get_span_context().trace_id
        if root:
            if not self.root_id:
                self.root_id = span_id
                self.trace_id = span.get_span_context().trace_id
                self.parent_id = span.parent.span_id if getattr(span, "parent", None) is not None else 0
            self.roots.append(span_id)
            self.hold()

    def span_ended(self, span: Any, span_id: int) -> None:
        """Takes a finished span; a local root lets go of the session."""
        self.finished_spans.append(span)
        if self._turn_over is not None:
            self.terms.spans.pop(span_id, None)
            if len(self.finished_spans) >= FULL:
                self._turn_over(self)
        if span_id == self.root_id and span.status.status_code.name == "ERROR":
            self.failed = True
        if span_id in self.roots:
            self.release()

    def give_up(self, roots: list[int]) -> None:
        """Waits no longer for local roots, if they are open still.

        Flask's instrumentor ends its span in a teardown, which is not run where another one before it raises.
        """
        ended = {span.get_span_context().span_id for span in self.finished_spans}
        for span_id in set(roots) - ended:
            self.roots.remove(span_id)
            self.release()

    def attributes(self) -> dict[str, Any]:
        """Returns the root span's `timetracer.*` attributes."""
        return {"timetracer.mode": "record"}

    # -- what came in

    def visit(self, inbound: Inbound) -> Guest:
        """Notes what came in."""
        self.guest = Guest(self, inbound)
        return self.guest

    # -- on the writer's thread

    def cassette(self) -> model.Cassette:
        """Returns the cassette, encoded but not yet redacted."""
        known: dict[bytes, model.Event] = {}  # what belongs to connections, each once however many there were
        for take in list(self.shared.values()):
            event = take.event(self.epoch)
            event.eid, event.span_id, event.lane, event.start_offset_ms, event.duration_ms = -1, None, "", 0.0, None
            known.setdefault(msgspec.json.encode(event), event)
        shared = {f"{number:04x}": event for number, event in enumerate(known.values())}
        inbound = self.guest.inbound() if self.guest is not None else None
        return model.Cassette(
            trace=self._trace(),
            inbound=inbound,
            events=[take.event(self.epoch) for take in list(self.takes)],
            shared=shared,
            draws=[
                model.Draw(lane=lane, source=source, values=[values.encode(v) for v in drawn])
                for (lane, source), drawn in list(self.draws.items())
            ],
            spans=[describe_span(span, self.epoch) for span in self.finished_spans],
        )

    def _trace(self) -> model.Trace:
        self.trace_id = self.trace_id or _ids.getrandbits(128)
        self.root_id = self.root_id or _ids.getrandbits(64)
        return model.Trace(
            trace_id=f"{self.trace_id:032x}",
            root_id=f"{self.root_id:016x}",
            parent_id=f"{self.parent_id:016x}" if self.parent_id else None,
            service=self.terms.service,
            environment=self.terms.environment,
            start=datetime.fromtimestamp(self.epoch / 1e9, UTC).isoformat(timespec="microseconds"),
            duration_ms=None if self.ended is None else round((self.ended - self.epoch) / 1e6, 3),
            status="error" if self.failed else "ok",
            resource=self.terms.resource,
            recorder=self.terms.recorder,
        )

    def counted(self) -> int:
        """Returns how many bytes of bodies and rows are counted in the budget."""
        copies = [c for take in list(self.takes) for c in (take.upload, take.response_body, take.response_items)]
        if self.guest is not None:
            copies += [self.guest.sent_body, self.guest.response_body]
        return sum(copy.size for copy in copies if copy is not None)

    def size(self) -> int:
        """Returns about how many bytes this session holds besides those."""
        return 1024 + 1024 * len(self.takes) + 2048 * len(self.finished_spans) + self._drawn_bytes
