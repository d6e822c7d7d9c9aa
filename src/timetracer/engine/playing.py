"""A session that is replayed: a fresh run over one immutable cassette, with its own marks of what was used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace

from timetracer import values
from timetracer.cassette import model
from timetracer.cassette.model import Body, Cassette, Event
from timetracer.engine import miss
from timetracer.engine.cards import Card, Choice
from timetracer.engine.guests import PlayedGuest
from timetracer.engine.lanes import current_lane
from timetracer.engine.matching import Matcher
from timetracer.engine.measures import MEASURES
from timetracer.engine.player import Player
from timetracer.engine.recorder import PASSAGE, Passage
from timetracer.engine.spans import describe_span
from timetracer.engine.timeline import Timeline
from timetracer.errors import ReplayError
from timetracer.plugin import Inbound, Plugin, Request, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every replay of this process.

    Attributes:
        mocks: whether a plugin is answered from cassettes; otherwise it stays live.
        completed: gets each session when all of it is done.
        shared: what is known of connections, whichever cassette knows it.
        shared_answer: what answers a question about a connection, likewise; the question is canonical.
        rerecord: the command that records again, for messages.
        hide: takes secrets out of events, for messages.
    """

    mocks: Callable[[Plugin], bool]
    spans: dict[int, Any]
    completed: Callable[[Playing], None] = lambda session: None
    shared: Callable[[Plugin], list[Event]] = lambda plugin: []
    shared_answer: Callable[[str], Event | None] = lambda text: None
    strict: bool = False
    repeats: bool = False
    recorded_pace: bool = False
    rerecord: str = "record again: TIMETRACER_MODE=record"
    hide: Callable[[Sequence[Event]], Sequence[Event]] = lambda events: events


@dataclass(slots=True)
class _Marks:
    """What a session did, in order."""

    matches: list[model.Match] = field(default_factory=list)
    misses: list[ReplayError] = field(default_factory=list)
    courtesies: int = 0


class Playing:
    """One inbound call (or test, script, process) while it is replayed."""

    closed = False
    ranked = True
    fenced = True  # nothing in it connects to a server, live plugins aside

    def __init__(self, rules: Rules, choice: Choice, *, trace_id: int = 0) -> None:
        self.rules, self.trace_id = rules, trace_id
        self.epoch = time.time_ns()
        self.task_counts: dict[str, int] = {}
        self.finished_spans: list[Any] = []
        self.marks = _Marks()
        self.guest: PlayedGuest | None = None
        self._choice = choice
        self._card: Card | None = None
        self._matcher: Matcher | None = None
        self._decided = False
        self._lock = threading.RLock()
        self._holds = 0
        self._player = Player(self)
        self.sides: dict[str, Player | Passage] = {}
        self._draws: dict[tuple[str, str], list[Any]] = {}
        self._drawn: dict[tuple[str, str], int] = {}
        self._span_ids: list[int] = []
        self.roots: list[int] = []  # local roots: nearly always one
        self._timeline: Timeline | None = None

    # -- what the engine asks of a session

    def side(self, plugin: Plugin) -> Player | Passage | None:
        """Returns the player, or the way through for a plugin that stays live."""
        return self.sides.setdefault(plugin.name, self._player if self.rules.mocks(plugin) else PASSAGE)

    def hold(self) -> None:
        """Keeps the session open."""
        with self._lock:
            self._holds += 1

    def release(self) -> None:
        """Ends one hold; the last one completes the session."""
        with self._lock:
            self._holds -= 1
            if self._holds or self.closed:
                return
            self.closed = True
        self._complete()

    def close_now(self) -> None:
        """Completes the session with whatever is there."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._complete()

    def _complete(self) -> None:
        for span_id in self._span_ids:
            self.rules.spans.pop(span_id, None)
        self.rules.completed(self)

    def span_started(self, span: Any, span_id: int, root: bool) -> None:
        """Notes a span that began in this session; a local root holds it open."""
        self._span_ids.append(span_id)
        if root:
            self.roots.append(span_id)
            self.hold()

    def span_ended(self, span: Any, span_id: int) -> None:
        """Takes a finished span."""
        self.finished_spans.append(span)
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
        card = self._card
        return {
            "timetracer.mode": "replay",
            "timetracer.cassette": card.name if card is not None else "",
            "timetracer.misses": len(self.marks.misses),
        }

    def visit(self, inbound: Inbound) -> PlayedGuest:
        """Notes what came in."""
        self.guest = PlayedGuest(self, inbound)
        self._choice.sent, self._choice.size = self.guest.sent, self.guest.size
        return self.guest

    def rechoose(self, choice: Choice) -> None:
        """Takes another choice of cassettes, before the first call."""
        with self._lock:
            self._choice, self._decided, self._card, self._matcher = choice, False, None, None
            self._timeline = None

    @property
    def undecided(self) -> bool:
        """Whether what is still to be read of the inbound body may change which cassette answers."""
        return not (self._decided or self._choice.decided)

    # -- the cassette in use

    @property
    def card(self) -> Card | None:
        """The cassette that answers, decided when first asked for."""
        with self._lock:
            if not self._decided:
                self._decided = True
                self._card = self._choice.decide()
                if self._card is not None:
                    self._matcher = Matcher(self._card.index, strict=self.rules.strict, repeats=self.rules.repeats)
                    self._draws = {(d.lane, d.source): d.values for d in self._card.cassette.draws if not _sealed(d)}
            return self._card

    @property
    def matcher(self) -> Matcher | None:
        """The state of matching; None where there is no cassette."""
        return self._matcher if self._decided or self.card is not None else None

    @property
    def live(self) -> dict[str, str]:
        """Which live value stands for which recorded one, so far."""
        return self._matcher.live if self._matcher is not None else {}

    def clock(self, true: int) -> int:
        """Returns the time in this session for the true one, both in nanoseconds."""
        timeline = self._timeline
        if timeline is not None:
            return timeline.at(true)
        if not self.undecided:
            return self._time().at(true)
        return Timeline(self._choice.cards[0].cassette, self.epoch).at(true)  # asking for the time decides nothing

    def _time(self) -> Timeline:
        with self._lock:
            if self._timeline is None:
                card = self.card
                self._timeline = Timeline(card.cassette if card is not None else None, self.epoch)
            return self._timeline

    def _follow(self, card: Card, request: Request, event: Event) -> None:
        if event.eid in card.index.alone and request.replies is not None:
            self._time().follow(event, time.time_ns())

    # -- answers

    def answer(self, plugin: Plugin, request: Request, fields: dict[str, Any], body: bytes, lane: str) -> Event:
        """Returns the event that answers a call. Raises NoMatch or Exhausted."""
        with self._lock:
            card, matcher = self.card, self.matcher
            text = ""
            if card is not None and matcher is not None:
                text = matcher.text(plugin, request, fields, body)
                if request.shared and (shared := matcher.find_shared(text)) is not None:
                    return shared
                found = matcher.find(text, (plugin.name, request.type, request.method), lane)
                if found is None and isinstance(request.body, Upload):
                    found = matcher.find_cut_short(matcher.text(plugin, request, fields, b""), body, lane)
                if found is not None:
                    MEASURES.hits += 1
                    self._follow(card, request, found.event)
                    self.marks.matches.append(self._mark(plugin, request, found.event.eid, found.step))
                    return self._whole(plugin, found.event)
                if text in card.index.shared:
                    return card.index.shared[text].event
                if request.shared and (shared := self.rules.shared_answer(text)) is not None:
                    return shared
            raise miss.report(
                plugin,
                request,
                fields,
                body,
                matcher=matcher,
                text=text,
                cassette=card.name if card is not None else self._choice.looked_in,
                rerecord=self.rules.rerecord,
                hide=self.rules.hide,
            )

    def _whole(self, plugin: Plugin, event: Event) -> Event:
        """Refuses an event that was not recorded in full: half an answer would be an invented one."""
        if event.incomplete:
            signature = self.rules.hide([event])[0].signature
            raise ReplayError(
                f"event {event.eid} ({plugin.name} {signature.method} {signature.url}) was not recorded in"
                f" full: {event.incomplete}",
                reason="decode error",
            )
        return event

    def failure(self, plugin: Plugin, request: Request, fields: dict[str, Any], lane: str) -> Event | None:
        """Returns the recorded failure, if the plugin's calls in this lane have come as far as that.

        It is that of an opening, or of a request that failed before any of its body was sent.
        """
        with self._lock:
            card, matcher = self.card, self.matcher
            if card is None or matcher is None:
                return None
            text = matcher.text(plugin, request, fields, b"")
            entries = matcher.alike(text, (plugin.name, request.type, request.method))
            if isinstance(request.body, Upload):
                entries = [e for e in card.index.cut_short.get(text, ()) if card.index.began_with(e, b"")]
            due = next((e.event for e in entries if e.event.eid not in matcher.used), None)
            if due is None or due.result.error is None:
                return None
            mine = [
                e.event.eid
                for e in card.index.entries
                if e.event.signature.lib == plugin.name and e.event.lane == due.lane and e.event.eid < due.eid
            ]
            reached = max((eid for eid in mine if eid in matcher.used), default=-1)
            if any(eid > reached for eid in mine):
                return None
            matcher.used.add(due.eid)
            self._follow(card, request, due)
            self.marks.matches.append(self._mark(plugin, request, due.eid, "exact"))
            return due

    def known(self, plugin: Plugin, request: Request | None) -> Event | None:
        """Returns what was recorded of a connection: to this server, else to any that the plugin knows."""
        card = self.card
        mine = [
            e for e in (card.cassette.shared.values() if card is not None else ()) if e.signature.lib == plugin.name
        ]
        for event in (*mine, *self.rules.shared(plugin)):
            s = event.signature
            if request is None or (s.method, s.url) == (request.method, request.target):
                return event
        return mine[0] if mine else next(iter(self.rules.shared(plugin)), None)

    def missed(self, error: ReplayError) -> ReplayError:
        """Keeps a miss; returns it to be raised."""
        MEASURES.misses += 1
        self.marks.misses.append(error)
        self.marks.matches.append(
            model.Match(
                lib="",
                method="",
                url=str(error.details.get("call", "")),
                reason=error.reason,
                nearest=error.details.get("nearest"),
                differences=error.details.get("differences", []),
                span_id=f"{trace.get_current_span().get_span_context().span_id:016x}",
            )
        )
        return error

    def raw(self, body: Body) -> list[bytes]:
        """Returns the chunks of a recorded body."""
        card = self.card
        return card.raw(body) if card is not None else []

    def gaps(self, body: Body) -> Sequence[float]:
        """Returns the seconds to wait before each chunk of a recorded body."""
        if not self.rules.recorded_pace or body.gaps is None:
            return ()
        return [milliseconds / 1000 for milliseconds in body.gaps]

    def draw(self, source: str, drawn: Any) -> Any:
        """Returns what the app drew when it was recorded; what it draws now where nothing is left."""
        with self._lock:
            key = (current_lane(), source)
            at = self._drawn[key] = self._drawn.get(key, -1) + 1
            if self.undecided:
                return drawn  # which cassette answers depends on a body that the app has yet to read
            recorded = self._draws.get(key) if self.card is not None else None
            kept = recorded[at] if recorded is not None and at < len(recorded) else None  # None too: it was withheld
            return drawn if kept is None else values.decode(kept)

    def _mark(self, plugin: Plugin, request: Request, eid: int, step: str) -> model.Match:
        return model.Match(lib=plugin.name, method=request.method, url=request.target, eid=eid, step=step)

    def unused(self) -> list[Event]:
        """Returns the recorded events that no call asked for."""
        matcher = self.matcher
        return [] if matcher is None else matcher.unused()

    def outcome(self) -> Cassette:
        """Returns this run as a cassette: the spans made, and how each call was answered."""
        answers = self.card.cassette.trace.root_id if self.card is not None else ""
        about = model.Trace(trace_id=f"{self.trace_id:032x}", root_id=answers)
        return Cassette(
            trace=about,
            spans=[describe_span(s, self.epoch) for s in self.finished_spans],
            replay=list(self.marks.matches),
        )


def _sealed(draw: model.Draw) -> bool:
    """Whether what was drawn is sealed still, for want of the key: it is drawn anew then, as where it was redacted."""
    return any(isinstance(value, dict) and "$sealed" in value for value in draw.values)
