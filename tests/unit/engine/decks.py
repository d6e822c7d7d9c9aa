"""Cassettes made by hand, for tests of the engine that need no library."""

from __future__ import annotations

from typing import Any

from timetracer.cassette import bodies
from timetracer.cassette.model import Body, Cassette, Event, Inbound, Result, Sent, Signature, Trace
from timetracer.engine.cards import Card
from timetracer.engine.matching import Index, Matcher
from timetracer.engine.selection import card
from timetracer.plugin import Exchange, Patch, Plugin, Request

PLUGIN = Plugin(
    name="toy",
    kind="http",
    library="toy",
    patches=(
        Patch("toy:call", Exchange(describe=lambda call: None, encode=lambda c, r, k: r, decode=lambda c, r: r.value)),
    ),
)


def event(
    eid: int, target: str, *, method: str = "GET", lane: str = "", body: bytes | None = None, **fields: Any
) -> Event:
    """One recorded call that is answered with its own number."""
    sent = Sent(body=None if body is None else Body(raw=[body]))
    signature = Signature(lib="toy", method=method, url=target, fields=fields)
    return Event(eid=eid, type="http.client", signature=signature, request=sent, result=Result(value=eid), lane=lane)


def cassette(
    *events: Event, replacements: tuple[str, ...] = (), trace: Trace | None = None, **inbound: Any
) -> Cassette:
    """A cassette of these events; with `method` and `target`, of an inbound request."""
    came_in = Inbound(type="http.server", **inbound) if inbound else None
    return Cassette(
        trace=trace or Trace(trace_id="0" * 31 + "1", root_id="0" * 15 + "2"),
        inbound=came_in,
        events=list(events),
        replacements=list(replacements),
    )


def deal(name: str, made: Cassette) -> Card:
    """A cassette ready to answer."""
    return card(name, made, bodies.unpack)


class Asking:
    """Asks a matcher as a replayed session does."""

    def __init__(
        self, made: Cassette, *, ignore: frozenset[str] = frozenset(), kind: str = "http", **options: Any
    ) -> None:
        def body_of(event: Event) -> bytes:
            return b"".join(bodies.unpack(event.request.body)) if event.request.body is not None else b""

        self.plugin = Plugin(name="toy", kind=kind, library="toy", patches=PLUGIN.patches)
        self.matcher = Matcher(Index(made, body_of, ignore), **options)

    def ask(
        self, target: str, *, method: str = "GET", lane: str = "", body: bytes = b"", **fields: Any
    ) -> tuple[int, str] | None:
        """Returns the number of the event that answers and the step that found it, or None."""
        request = Request(type="http.client", method=method, target=target, fields=fields)
        text = self.matcher.text(self.plugin, request, fields, body)
        found = self.matcher.find(text, ("toy", "http.client", method), lane)
        return None if found is None else (found.event.eid, found.step)
