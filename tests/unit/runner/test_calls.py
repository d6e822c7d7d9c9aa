"""How calls are compared: changed, missing, extra and not reached, each in its place in the span tree."""

from __future__ import annotations

from tests.unit.runner.recordings import event, recorded, span
from timetracer.cassette.model import Cassette, Match, Span
from timetracer.runner import calls


def outcome(*matches: Match, spans: tuple[Span, ...] = ()) -> Cassette:
    """What a replay yielded."""
    return Cassette(replay=[*matches], spans=[*spans])


def matched(eid: int) -> Match:
    """A call that was answered."""
    return Match(lib="httpx", method="GET", url="", eid=eid, step="exact")


def miss(call: str, nearest: int | None = None, **more: str) -> Match:
    """A call that was not."""
    return Match(lib="", method="", url=call, reason="no match", nearest=nearest, differences=["a: b"], **more)


def test_every_call_as_recorded() -> None:
    """Nothing is said."""
    assert calls.differences(recorded(events=(event(0), event(1))), outcome(matched(1), matched(0))) == []


def test_a_miss_whose_nearest_event_is_left_is_a_change() -> None:
    """What was recorded after it was not reached; what was recorded before it is missing."""
    kept = recorded(events=(event(0), event(1), event(2), event(3)))
    found = calls.differences(kept, outcome(matched(1), miss("httpx GET x", nearest=2)))
    assert [(call.kind, call.eid) for call in found] == [("changed", 2), ("missing", 0), ("unreached", 3)]
    assert found[0].differences == ["a: b"]


def test_a_miss_without_a_partner_is_extra() -> None:
    """Also where the nearest event was asked for as well."""
    kept = recorded(events=(event(0),))
    found = calls.differences(kept, outcome(matched(0), miss("httpx GET x", nearest=0), miss("redis GET y")))
    assert [(call.kind, call.name) for call in found] == [("extra", "httpx GET x"), ("extra", "redis GET y")]
    assert found[0].differences == ["nearest: event 0, which was asked as well", "a: b"]


def test_a_call_has_a_place_in_the_span_tree() -> None:
    """By the names of the spans around it, for their ids are new in each run."""
    then = (span("1", "GET /"), span("2", "work", "1"))
    now = (span("8", "GET /"), span("9", "work", "8"))
    kept = recorded(events=(event(0, span_id="2"),), spans=[*then])
    found = calls.differences(kept, outcome(miss("httpx GET x", span_id="9"), matched(0), spans=now))
    assert [call.span for call in found] == ["GET / > work"]
    lines = calls.tree(kept, found)
    assert [(line.depth, line.text, line.kind) for line in lines] == [
        (0, "GET /", None),
        (1, "work", None),
        (2, "httpx GET http://stock/items", "matched"),
        (2, "httpx GET x", "extra"),
    ]


def test_spans_that_one_side_has_alone() -> None:
    """Told by path and number; not at all where one side was not traced."""
    kept = recorded(spans=[span("1", "GET /"), span("2", "work", "1"), span("3", "work", "1")])
    found = calls.span_differences(kept, outcome(spans=(span("8", "GET /"), span("9", "work", "8"))))
    assert [(each.where, each.recorded, each.replayed) for each in found] == [("span GET / > work", "2 times", "once")]
    assert calls.span_differences(kept, outcome()) == []


def test_spans_in_a_circle_end() -> None:
    """A broken cassette hangs nothing."""
    kept = recorded(spans=[span("1", "a", "2"), span("2", "b", "1")])
    assert calls.tree(kept, []) == []
    assert len(calls.paths(kept.spans)) == 2
