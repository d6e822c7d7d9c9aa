"""A session that answers what its cassette knows and records what it does not (record mode `new_episodes`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from timetracer.cassette.model import Cassette
from timetracer.engine.drivers import Core, Drain
from timetracer.engine.links import Link, settle
from timetracer.engine.player import Player
from timetracer.engine.playing import Playing
from timetracer.engine.recorder import LIVE, Passage, Recorder
from timetracer.engine.recording import Recording
from timetracer.engine.sessions import silenced
from timetracer.errors import NoMatch
from timetracer.plugin import Call, Exchange, Inbound, Open, Plugin, Send, Upload, Value, Visit


class Extending:
    """One test that replays what was recorded before and adds what is new."""

    closed = False
    ranked = True
    fenced = True  # nothing in it connects to a server, live plugins aside

    def __init__(self, playing: Playing, recording: Recording) -> None:
        self.playing, self.recording = playing, recording
        self.task_counts = playing.task_counts
        self._sides: dict[str, Extender | Passage] = {}

    def side(self, plugin: Plugin) -> Extender | Passage | None:
        """Returns what answers from the cassette, else records."""
        if plugin.name not in self._sides:
            player = self.playing.side(plugin)
            recorder = self.recording.side(plugin)
            both = isinstance(player, Player) and recorder is not None
            self._sides[plugin.name] = Extender(self, player, recorder) if both else Passage()  # type: ignore[arg-type]
        return self._sides[plugin.name]

    def visit(self, inbound: Inbound) -> Visit:
        """Notes what came in."""
        return self.recording.visit(inbound)

    def hold(self) -> None:
        """Keeps both open."""
        self.playing.hold()

    def release(self) -> None:
        """Ends one hold."""
        self.playing.release()

    def span_started(self, span: Any) -> None:
        """Notes a span."""
        self.playing.span_started(span)

    def span_ended(self, span: Any) -> None:
        """Takes a finished span."""
        self.playing.span_ended(span)

    def attributes(self) -> dict[str, Any]:
        """Returns the root span's attributes."""
        return self.playing.attributes()

    def draw(self, source: str, drawn: Any) -> Any:
        """Returns what was drawn before, else notes what is drawn now."""
        before = self.playing.draw(source, drawn)
        return self.recording.draw(source, drawn) if before is drawn else before

    @property
    def clock_offset(self) -> int:
        """The clock runs from the recorded start."""
        return self.playing.clock_offset

    def missed(self, error: Any) -> Any:
        """Keeps a miss that cannot be recorded either."""
        return self.playing.missed(error)

    def merged(self) -> Cassette | None:
        """Returns the old cassette with what is new at its end; None where nothing is new."""
        fresh = self.recording.cassette()
        card = self.playing.card
        if card is None or not (fresh.events or fresh.shared):
            return fresh if card is None else None
        old = card.cassette
        start = 1 + max((event.eid for event in old.events), default=-1)
        for number, event in enumerate(fresh.events):
            event.eid = start + number
        shared = {**old.shared, **{f"{start:04x}-{key}": event for key, event in fresh.shared.items()}}
        return Cassette(
            trace=old.trace,
            inbound=old.inbound or fresh.inbound,
            events=[*old.events, *fresh.events],
            shared=shared,
            draws=_joined(old, fresh),
            spans=[*old.spans, *fresh.spans],
            logs=old.logs,
            replacements=old.replacements,
        )


def _joined(old: Cassette, fresh: Cassette) -> list[Any]:
    draws = {(d.lane, d.source): d for d in old.draws}
    for draw in fresh.draws:
        known = draws.setdefault((draw.lane, draw.source), draw)
        if known is not draw:
            known.values = [*known.values, *draw.values]
    return list(draws.values())


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
            try:
                return (yield from self.player.send(plugin, role, call, link))
            except NoMatch as miss:
                if link.used:
                    miss.add_note(
                        "this connection was already used in replay and cannot go live half-way: record with `rewrite`"
                    )
                    raise
                self._forgive(miss)
            settle(plugin, call, role.link(call), link, stand_in=False)
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
