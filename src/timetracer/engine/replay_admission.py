"""Opens sessions for what comes in and is replayed: chooses the cassette of each.

A module of its own, which a process that records does not import: with what it needs it took 8 ms.
"""

from __future__ import annotations

from typing import Any

from timetracer.engine.admission import WEBSOCKET, caller_of, identity_of
from timetracer.engine.cards import Choice
from timetracer.engine.guard import say_once
from timetracer.engine.playing import Playing, Rules
from timetracer.engine.selection import Library
from timetracer.plugin import Inbound


class ReplayAdmission:
    """Admits everything, with the cassettes that may answer it."""

    def __init__(self, rules: Rules, library: Library) -> None:
        self.rules, self.library = rules, library

    def admit(self, inbound: Inbound | None, span: Any) -> Playing | None:
        """Returns a new replay; for a root span that nobody claimed yet, its cassette is chosen when it is claimed."""
        trace_id, _, _ = identity_of(inbound, span)
        choice = Choice([], self.library.looked_in)
        if inbound is not None:
            _note_websocket(inbound)
            sent_trace, sent_parent = caller_of(inbound.headers)
            choice = self.library.choose(inbound, sent_trace, sent_parent)
        elif self.library.single:
            choice = Choice(self.library.cards, self.library.looked_in)
        return Playing(self.rules, choice, trace_id=trace_id)

    def claim(self, session: Any, inbound: Inbound) -> Playing:
        """Chooses the cassette for a session that a root span opened."""
        _note_websocket(inbound)
        sent_trace, sent_parent = caller_of(inbound.headers)
        session.rechoose(self.library.choose(inbound, sent_trace, sent_parent))
        return session  # type: ignore[no-any-return]


def _note_websocket(inbound: Inbound) -> None:
    if inbound.type == WEBSOCKET:
        say_once(
            WEBSOCKET,
            "a websocket at %s passes untouched: websockets are not recorded, so what it calls finds no answer",
            inbound.target.partition("?")[0],
        )
