"""Cassettes in the hand: one ready to answer, and the few that may answer an inbound call until it is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timetracer.cassette.model import Body, Cassette
from timetracer.engine.guard import say_once

if TYPE_CHECKING:
    from timetracer.engine.matching import Index


@dataclass(frozen=True, slots=True)
class Card:
    """One cassette in the hand: where it lies, what it holds, and its index."""

    name: str  # path or URL, for messages
    cassette: Cassette
    index: Index
    raw: Callable[[Body], list[bytes]]


@dataclass(slots=True)
class Choice:
    """The cassettes that may answer an inbound call; the first call, or the end, decides which."""

    cards: list[Card]
    looked_in: str | None = None
    sent: Callable[[], bytes] | None = None  # the inbound body as far as the app has read it
    size: Callable[[], int] = lambda: 0  # of the inbound body in bytes, as its headers say or as it was read

    @property
    def decided(self) -> bool:
        """Whether nothing that is still to be read could change the choice."""
        return len(self.cards) < 2 or self.sent is None or len(self.sent()) >= self.size()

    def decide(self) -> Card | None:
        """Returns the card whose inbound body is what was sent, or begins with what was read of it; else the first."""
        if len(self.cards) < 2 or self.sent is None:
            return self.cards[0] if self.cards else None
        sent = _unbounded(self.sent())
        bodies = [_unbounded(_body(card)) for card in self.cards]
        for fits in (sent.__eq__, lambda body: not self.decided and body.startswith(sent)):
            found = [card for card, body in zip(self.cards, bodies, strict=True) if fits(body)]
            if found:
                return found[0]
        say_once(
            "ambiguous",
            "several cassettes answer the same request and its body does not tell which; the first is served",
        )
        return self.cards[0]


def _body(card: Card) -> bytes:
    inbound = card.cassette.inbound
    body = inbound.request.body if inbound is not None else None
    return b"".join(card.raw(body)) if body is not None else b""


def _unbounded(body: bytes) -> bytes:
    """Returns a multipart body without its boundary, which a browser makes up for each; any other body as it is.

    Upstream: https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1 (of 70 characters at most).
    """
    boundary = body[:80].partition(b"\r\n")[0]
    if not boundary.startswith(b"--") or not 2 < len(boundary) <= 72:
        return body
    begun = next((size for size in range(len(boundary) - 1, 2, -1) if body.endswith(boundary[:size])), 0)
    return body[: len(body) - begun].replace(boundary, b"--")
