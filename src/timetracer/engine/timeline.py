"""The time of one replayed session: at each recorded call it is where the recording stood, and from there it runs on.

Running from the recorded start alone it would drift: no server keeps a replay waiting, and a busy machine does. What an
app makes of the time in whole seconds (a signature, an expiry) would then differ from what was recorded, now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from timetracer.cassette.model import Cassette, Event

_NANOSECONDS = 1_000_000  # in a millisecond


def answered_at(event: Event) -> float:
    """Returns when a call was answered, in milliseconds from the start; a body that streamed came after that."""
    body = event.result.body
    streamed = sum(body.gaps) if body is not None and body.gaps else 0.0
    return event.start_offset_ms + max(0.0, (event.duration_ms or 0.0) - streamed)


def alone(events: Sequence[Event]) -> frozenset[int]:
    """Returns which calls, given in the order they began, were made while no other was under way.

    The others say nothing of the time: of two at once, the first one to be answered need not be the first one here.
    """
    found: set[int] = set()
    ended = -1.0
    for number, event in enumerate(events):
        ends = event.start_offset_ms + (event.duration_ms or 0.0)
        follows = events[number + 1].start_offset_ms if number + 1 < len(events) else ends
        if ended <= event.start_offset_ms and ends <= follows and not event.result.cancelled:
            found.add(event.eid)
        ended = max(ended, ends)
    return frozenset(found)


class Timeline:
    """Tells a session's time, which never goes back.

    Args:
        cassette: what is replayed; None tells the true time.
        epoch: the true time at which the session began, in nanoseconds.
    """

    def __init__(self, cassette: Cassette | None, epoch: int) -> None:
        start = cassette.trace.start if cassette is not None else ""
        self._start = int(datetime.fromisoformat(start).timestamp() * 1e6) * 1000 if start else epoch
        self._known = (epoch, self._start)  # the same moment, true and recorded: one object, as threads read it
        self._followed = 0.0
        self._told = 0

    def at(self, true: int) -> int:
        """Returns the session's time for the true one, both in nanoseconds."""
        since, recorded = self._known
        self._told = max(self._told, recorded + true - since)
        return self._told

    def follow(self, event: Event, true: int) -> None:
        """Comes to the time at which a call was answered; a call before one that was followed already turns nothing."""
        answered = answered_at(event)
        if answered > self._followed:
            self._followed = answered
            self._known = (true, self._start + round(answered * _NANOSECONDS))
