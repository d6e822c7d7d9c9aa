"""A session that answers what its cassette knows and records what it does not (record mode `new_episodes`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from timetracer.cassette.model import Cassette, Draw
from timetracer.engine.cards import Card
from timetracer.engine.drivers import Core, Drain
from timetracer.engine.links import Link, opening, settle
from timetracer.engine.matching import Matcher, question
from timetracer.engine.player import Late, Player
from timetracer.engine.playing import Playing
from timetracer.engine.recorder import LIVE, Passage, Recorder
from timetracer.engine.recording import Recording
from timetracer.engine.sessions import silenced
from timetracer.errors import NoMatch, ReplayError
from timetracer.plugin import Call, Exchange, Inbound, Open, Plugin, Send, Upload, Value, Visit


class Extending:
    """One test that replays what was recorded before and adds what is new."""

    closed = False
    ranked = True
    fenced = True  # nothing in it connects to a server, live plugins aside

    def __init__(self, playing: Playing, recording: Recording) -> None:
        self.playing, self.recording = playing, recording
        self.task_counts = playing.task_counts
        self.sides: dict[str, Extender | Passage] = {}

    def side(self, plugin: Plugin) -> Extender | Passage | None:
        """Returns what answers from the cassette, else records."""
        if plugin.name not in self.sides:
            player = self.playing.side(plugin)
            recorder = self.recording.side(plugin)
            both = isinstance(player, Player) and recorder is not None
            self.sides[plugin.name] = Extender(self, player, recorder) if both else Passage()  # type: ignore[arg-type]
        return self.sides[plugin.name]

    def visit(self, inbound: Inbound) -> Visit:
        """Notes what came in."""
        return self.recording.visit(inbound)

    def hold(self) -> None:
        """Keeps both open."""
        self.playing.hold()
        self.recording.hold()

    def release(self) -> None:
        """Ends one hold."""
        self.playing.release()
        self.recording.release()

    def span_started(self, span: Any, span_id: int, root: bool) -> None:
        """Notes a span."""
        self.playing.span_started(span, span_id, root)

    def span_ended(self, span: Any, span_id: int) -> None:
        """Takes a finished span."""
        self.playing.span_ended(span, span_id)

    def attributes(self) -> dict[str, Any]:
        """Returns the root span's attributes."""
        return self.playing.attributes()

    def draw(self, source: str, drawn: Any) -> Any:
        """Returns what was drawn before, else notes what is drawn now."""
        before = self.playing.draw(source, drawn)
        return self.recording.draw(source, drawn) if before is drawn else before

    def clock(self, true: int) -> int:
        """The time is that of the recording, which new calls find where the last known one left it."""
        return self.playing.clock(true)

    def missed(self, error: Any) -> Any:
        """Keeps a miss that cannot be recorded either."""
        return self.playing.missed(error)

    def merged(self, old: Cassette) -> Cassette:
        """Returns the cassette that was replayed with what is new at its end; its clock still runs from its start."""
        fresh = self.recording.cassette()
        both = _after(old, fresh)
        both.trace, both.inbound, both.logs = old.trace, old.inbound or fresh.inbound, old.logs
        both.draws = _joined(old.draws, fresh.draws)
        return both


def renewed(card: Card, fresh: Cassette) -> Cassette:
    """Returns what was recorded just now, after those events of an older cassette that were not asked for again."""
    old, index = card.cassette, card.index
    exact, loose = Matcher(index, strict=True), Matcher(index)
    for event in fresh.events:
        s, sent = event.signature, event.request.body
        body = b"" if sent is None else b"".join(sent.raw or ())
        text = question(s.lib, event.type, s.method, s.url, s.fields, body, index.ignore)
        key, before = (s.lib, event.type, s.method), len(exact.used)
        while exact.find(text, key, event.lane):
            pass
        if len(exact.used) == before:
            loose.find(text, key, event.lane)
    replaced = exact.used | loose.used
    kept = msgspec.structs.replace(old, events=[event for event in old.events if event.eid not in replaced])
    both = _after(kept, fresh)
    both.trace, both.inbound, both.logs, both.draws = fresh.trace, fresh.inbound, fresh.logs, fresh.draws
    return both


def _after(old: Cassette, fresh: Cassette) -> Cassette:
    """Returns the events, connections and spans of both; the fresh ones get new numbers."""
    start = 1 + max((event.eid for event in old.events), default=-1)
    for number, event in enumerate(fresh.events):
        event.eid = start + number
    known = {msgspec.json.encode(event) for event in old.shared.values()}
    added = [event for event in fresh.shared.values() if msgspec.json.encode(event) not in known]
    first = 1 + max((int(key, 16) for key in old.shared), default=-1)
    return Cassette(
        events=[*old.events, *fresh.events],
        shared={**old.shared, **{f"{first + number:04x}": event for number, event in enumerate(added)}},
        spans=[*old.spans, *fresh.spans],
        replacements=old.replacements,
    )


def _joined(old: list[Draw], fresh: list[Draw]) -> list[Draw]:
    draws = {(draw.lane, draw.source): draw for draw in old}
    for draw in fresh:
        known = draws.get((draw.lane, draw.source))
        values = [*known.values, *draw.values] if known is not None else draw.values
        draws[draw.lane, draw.source] = Draw(lane=draw.lane, source=draw.source, values=values)
    return list(draws.values())


_HALF_WAY = "  this connection was already used in replay and cannot go live half-way: record with `rewrite`"


class Extender:
    """The side of a plugin in such a session: a miss is a reason to go live, unless on a stand-in that was used."""

    stand_in = True

    def __init__(self, session: Extending, player: Player, recorder: Recorder) -> None:
        self.session, self.player, self.recorder = session, player, recorder

    def exchange(self, plugin: Plugin, role: Exchange, call: Call) -> Core:
        """Answers from the cassette, else lets the call run and records it."""
        request = role.describe(call)
        if request is not None and isinstance(request.body, Upload):
            request.body.replace(_Buffered((yield Drain(request.body.source))))
        try:
            return (yield from self.player.exchange(plugin, role, call))
        except NoMatch as miss:
            self._forgive(miss)
        with silenced(frozenset({LIVE})):
            return (yield from self.recorder.exchange(plugin, role, call))

    def send(self, plugin: Plugin, role: Send, call: Call, link: Link) -> Core:
        """Answers from the cassette, else takes a fresh connection live and records."""
        if link.stand_in:
            request = role.describe(call) if role.answer is not None else None
            if request is not None and isinstance(request.body, Upload) and not request.body.late:
                request.body.replace(_Buffered((yield Drain(request.body.source))))
            try:
                sent = yield from self.player.send(plugin, role, call, link)
                if link.pending and isinstance(link.pending[-1], Late):
                    link.pending[-1].advice = _HALF_WAY  # what it sends is known too late to go live
                return sent
            except NoMatch as miss:
                if link.used and _holds(plugin):
                    if _HALF_WAY not in getattr(miss, "__notes__", ()):  # a driver's sends may be nested
                        miss.add_note(_HALF_WAY)
                    raise
                self._forgive(miss)
            try:
                settle(plugin, call, role.link(call), link, stand_in=False)
            except ReplayError as error:  # the library cannot leave a connection in this state
                error.add_note(_HALF_WAY)
                raise self.session.missed(error) from error.__cause__
        with silenced(frozenset({LIVE})):
            return (yield from self.recorder.send(plugin, role, call, link))

    def open(self, plugin: Plugin, role: Open, call: Call, link: Link | None) -> Core:
        """Opens the connection in the world it is in."""
        if link is None or link.stand_in:
            return (yield from self.player.open(plugin, role, call, link))
        with silenced(frozenset({LIVE})):
            return (yield from self.recorder.open(plugin, role, call, link))

    def known(self, plugin: Plugin, role: Open, call: Call) -> Value:
        """Returns what was recorded of the server."""
        return self.player.known(plugin, role, call)

    def _forgive(self, miss: NoMatch) -> None:
        marks = self.session.playing.marks
        if miss in marks.misses:
            marks.misses.remove(miss)
            marks.matches.pop()


def _holds(plugin: Plugin) -> bool:
    role = opening(plugin)
    return role is None or role.holds


class _Buffered:
    """An upload that was read for matching, and can be read again."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        if self._data:
            yield self._data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data
