"""The time of a replayed session: at each recorded call it is where the recording stood; it runs on, and never back."""

from __future__ import annotations

from datetime import datetime

from tests.unit.engine.decks import PLUGIN, cassette, deal, event
from timetracer.cassette.model import Body, Event, Trace
from timetracer.engine.cards import Choice
from timetracer.engine.playing import Playing, Rules
from timetracer.engine.timeline import Timeline, alone, answered_at
from timetracer.plugin import Request

START = "2026-01-02T03:04:05+00:00"
SECOND = 10**9
MILLISECOND = 10**6
RECORDED = int(datetime.fromisoformat(START).timestamp()) * SECOND
TRACE = Trace(trace_id="1", root_id="2", start=START)


def call(eid: int, start: float, duration: float | None, *, target: str = "/") -> Event:
    """A call that began so many milliseconds after the start, and took so many."""
    made = event(eid, target)
    made.start_offset_ms, made.duration_ms = start, duration
    return made


def test_it_runs_from_the_recorded_start_and_from_each_call_that_was_answered() -> None:
    """A replay that is slower or faster than the recording comes back to its time at the next call."""
    timeline = Timeline(cassette(trace=TRACE), epoch=0)
    assert timeline.at(5 * SECOND) == RECORDED + 5 * SECOND
    timeline.follow(call(0, 7000, 250), true=6 * SECOND)
    assert timeline.at(6 * SECOND) == RECORDED + 7250 * MILLISECOND
    assert timeline.at(8 * SECOND) == RECORDED + 9250 * MILLISECOND


def test_it_never_goes_back() -> None:
    """Where the replay came later than the recording, the time waits at what was told."""
    timeline = Timeline(cassette(trace=TRACE), epoch=0)
    late = timeline.at(5 * SECOND)
    timeline.follow(call(0, 2000, 1000), true=5 * SECOND)
    assert [timeline.at(5 * SECOND), timeline.at(6 * SECOND), timeline.at(7 * SECOND)] == [late] * 3
    assert timeline.at(8 * SECOND) == late + SECOND


def test_a_call_that_is_answered_again_stops_no_clock() -> None:
    """An app that asks the same until a time is over comes to its end."""
    timeline = Timeline(cassette(trace=TRACE), epoch=0)
    for true in range(10):
        timeline.follow(call(0, 1000, 10), true=true * SECOND)
    assert timeline.at(10 * SECOND) == RECORDED + (1010 + 10_000) * MILLISECOND


def test_calls_at_once_say_nothing_of_the_time() -> None:
    """Of calls that were under way together none moves the clock, nor does one that streamed all the while."""
    apart, first, second, after = call(0, 0, 5), call(1, 10, 50), call(2, 20, 10), call(3, 60, None)
    assert alone([apart, first, second, after]) == {0, 3}


def test_a_streamed_body_came_after_its_answer() -> None:
    """The time of an answer is that of its head."""
    streamed = call(0, 100, 900)
    streamed.result.body = Body(raw=[b"a", b"b"], gaps=[1.0, 600.0])
    assert answered_at(streamed) == 399.0


def test_a_session_follows_its_calls() -> None:
    """What a session is told of the time after a call is what it was told when it was recorded."""
    made = cassette(call(0, 500, 2500, target="/slow"), trace=TRACE, method="GET", target="/")
    session = Playing(Rules(mocks=lambda plugin: True, spans={}), Choice([deal("c", made)]))
    assert session.clock(session.epoch) == RECORDED
    session.answer(PLUGIN, Request(type="http.client", method="GET", target="/slow"), {}, b"", "")
    told = session.clock(session.epoch + 10 * SECOND) - RECORDED
    assert 3 * SECOND < told <= 13 * SECOND
