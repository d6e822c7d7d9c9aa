"""What a replay of one cassette came to: plain structs that cross from worker processes and go into every report."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["matched", "changed", "failed", "skipped"]
Kind = Literal["matched", "changed", "missing", "extra", "unreached"]


class Difference(msgspec.Struct, frozen=True):
    """One place in which the replay differs; None where one side has nothing."""

    where: str  # "status", "header Content-Type", "body $.items[0].price"
    recorded: str | None = None
    replayed: str | None = None


class Call(msgspec.Struct, frozen=True):
    """One outbound call that is not as it was recorded.

    `changed` was asked otherwise than recorded; `missing` was recorded and not asked; `unreached` likewise, but after a
    call that found no answer had stopped the app; `extra` was asked and never recorded.
    """

    kind: Kind
    name: str  # "httpx GET http://stock/items"
    eid: int | None = None  # of the recorded event
    span: str = ""  # names of the spans around it, outermost first
    reason: str | None = None  # of an unanswered call: no match, already consumed, ...
    differences: list[str] = []


class Line(msgspec.Struct, frozen=True):
    """One line of the span tree."""

    depth: int
    text: str
    kind: Kind | None = None  # None: a span


class Finding(msgspec.Struct):
    """What became of one cassette."""

    file: str
    name: str  # "GET /orders/1/"
    outcome: Outcome = "matched"
    matched: int = 0  # calls answered as recorded
    answer: list[Difference] = []
    calls: list[Call] = []
    spans: list[Difference] = []  # told, not counted
    tree: list[Line] = []
    notes: list[str] = []
    error: str | None = None  # why nothing could be compared
    updated: bool = False
    duration_ms: float = 0.0

    def count(self, kind: Kind) -> int:
        """Returns how many calls are of a kind."""
        return self.matched if kind == "matched" else sum(call.kind == kind for call in self.calls)
