"""Which cassette answers an inbound call: by its caller, by what it asks, by its body; and what is said if unclear."""

from __future__ import annotations

import logging

import pytest

from tests.unit.engine.decks import PLUGIN, cassette, deal, event
from timetracer.cassette.model import Body, Cassette, Draw, Result, Sent, Trace
from timetracer.engine import guard
from timetracer.engine.admission import caller_of
from timetracer.engine.playing import Playing, Rules
from timetracer.engine.selection import Library, joined
from timetracer.errors import NoMatch
from timetracer.plugin import Inbound, Request


def request(
    target: str, *, method: str = "GET", body: bytes = b"", answer: bytes = b"", trace: int = 1, parent: int = 0
) -> Cassette:
    """A cassette of one inbound request."""
    ids = Trace(trace_id=f"{trace:032x}", root_id=f"{trace:016x}", parent_id=f"{parent:016x}" if parent else None)
    sent = Sent(body=Body(raw=[body]) if body else None)
    result = Result(status=200, body=Body(raw=[answer]))
    return cassette(trace=ids, method=method, target=target, request=sent, result=result)


def library(*cassettes: Cassette) -> Library:
    """These cassettes, named by their number."""
    return Library((deal(str(n), each) for n, each in enumerate(cassettes)), "here")


def chosen(
    found: Library, target: str, *, method: str = "GET", trace: int = 0, parent: int = 0, body: bytes = b""
) -> str | None:
    """The name of the cassette that answers."""
    choice = found.choose(Inbound(type="http.server", method=method, target=target), trace, parent)
    choice.sent = lambda: body
    card = choice.decide()
    return None if card is None else card.name


def test_by_target_and_method() -> None:
    """The request itself tells; an unknown one has no cassette."""
    found = library(request("/a"), request("/a", method="POST"), request("/b?x=1"))
    assert [chosen(found, "/a"), chosen(found, "/a", method="POST"), chosen(found, "/b?x=1")] == ["0", "1", "2"]
    assert chosen(found, "/b?x=2") is None


def test_the_callers_span_tells_equal_requests_apart() -> None:
    """A service that one trace called twice: each call's parent span picks its cassette."""
    found = library(request("/a", trace=5, parent=1), request("/a", trace=5, parent=2))
    assert chosen(found, "/a", trace=5, parent=2) == "1"
    assert chosen(found, "/a", trace=5, parent=1) == "0"


def test_the_trace_tells_where_the_span_does_not() -> None:
    """The trace id alone decides among equal requests."""
    found = library(request("/a", trace=5), request("/a", trace=6))
    assert chosen(found, "/a", trace=6, parent=99) == "1"


def test_the_body_tells_equal_targets_apart() -> None:
    """What the app has read of the body by its first call decides."""
    found = library(request("/a", method="POST", body=b"one"), request("/a", method="POST", body=b"two"))
    assert chosen(found, "/a", method="POST", body=b"two") == "1"


def test_without_a_trace_the_first_is_served_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Equal requests that answered differently: said once."""
    guard._last_said.clear()
    found = library(request("/a", answer=b"1"), request("/a", answer=b"2", trace=2))
    with caplog.at_level(logging.WARNING, "timetracer"):
        assert chosen(found, "/a") == "0"
        assert chosen(found, "/a") == "0"
    assert [record.getMessage() for record in caplog.records].count(
        "2 cassettes answer GET /a differently; without the trace id the first is served"
    ) == 1


def test_ids_in_the_target_are_masked() -> None:
    """A path with a fresh id finds the cassette of the recorded one."""
    found = library(request("/o/7d44b8e2-8c53-4b5b-9a3a-0a1b2c3d4e5f"))
    assert chosen(found, "/o/00000000-8c53-4b5b-9a3a-0a1b2c3d4e5f") == "0"


def test_what_several_processes_recorded_is_one_deck() -> None:
    """Process cassettes are put together, oldest first, numbered anew."""
    early = cassette(event(0, "/a"), trace=Trace(trace_id="", root_id="", start="2026-01-01T00:00:00+00:00"))
    late = cassette(event(0, "/b"), trace=Trace(trace_id="", root_id="", start="2026-01-02T00:00:00+00:00"))
    for made, name in ((early, "early"), (late, "late")):
        made.draws = [Draw(lane="", source="random", values=[name])]
    whole = joined([deal("late", late), deal("early", early)])
    assert whole is not None
    assert whole.cassette.draws == [Draw(lane="", source="random", values=["early", "late"])]
    assert [(e.eid, e.signature.url) for e in whole.cassette.events] == [(0, "/a"), (1, "/b")]
    assert joined([]) is None


def test_the_caller_is_read_from_traceparent() -> None:
    """A W3C header names trace and span; anything else is no caller."""
    header = ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert caller_of([("Host", "x"), header]) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert caller_of([("traceparent", "rubbish")]) == (0, 0)


def test_asking_for_the_time_or_an_id_does_not_choose_before_the_body_is_read() -> None:
    """Middleware does both before any body is read: the body still decides, and the draws keep in step."""
    cards = []
    for name, body in (("0", b"one!"), ("1", b"two!")):
        made = request("/graphql", method="POST", body=body)
        made.trace.start = "2026-01-01T00:00:00+00:00"
        made.draws = [Draw(lane="", source="s", values=[f"{name}-first", f"{name}-second"])]
        cards.append(deal(name, made))
    choice = Library(cards, "here").choose(Inbound(type="http.server", method="POST", target="/graphql"), 0, 0)
    session = Playing(Rules(mocks=lambda plugin: True, spans={}), choice)
    headers = [("Content-Length", "4")]
    visit = session.visit(Inbound(type="http.server", method="POST", target="/graphql", headers=headers))
    body = visit.request_body()
    assert session.clock(session.epoch) < session.epoch
    assert session.draw("s", "live") == "live"
    body.feed(b"two!")
    assert session.draw("s", "live") == "1-second"
    assert session.card is not None
    assert session.card.name == "1"


def _upload(boundary: bytes, content: bytes) -> bytes:
    part = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--%b--\r\n'
    return part % (boundary, content, boundary)


@pytest.mark.parametrize("read", [1.0, 0.9, 0.85, 0.8])
def test_an_upload_is_told_by_what_is_uploaded(read: float) -> None:
    """A browser makes up another boundary each time: two files at one address keep their own cassettes."""
    recorded = [_upload(b"----WebKitFormBoundary%d" % n, content) for n, content in enumerate((b"one", b"two"))]
    found = library(*(request("/up", method="POST", body=body) for body in recorded))
    for number, content in enumerate((b"one", b"two")):
        again = _upload(b"----WebKitFormBoundary7f", content)
        headers = [("Content-Length", str(len(again)))]
        inbound = Inbound(type="http.server", method="POST", target="/up", headers=headers)
        session = Playing(Rules(mocks=lambda plugin: True, spans={}), found.choose(inbound, 0, 0))
        session.visit(inbound).request_body().feed(again[: int(len(again) * read)])
        assert session.card is found.cards[number]


def test_what_another_cassette_knows_of_connections_answers() -> None:
    """A connection that one request opened was used by others: in a replay any of them may open it."""
    opened, used = request("/first"), request("/second")
    opened.shared = {"0": event(-1, "PRAGMA foreign_keys = ON")}
    known = library(opened, used)
    rules = Rules(mocks=lambda plugin: True, spans={}, shared_answer=known.shared_answers.get)
    session = Playing(rules, known.choose(Inbound(type="http.server", method="GET", target="/second"), 0, 0))

    def ask(*, shared: bool) -> int:
        asked = Request(type="http.client", method="GET", target="PRAGMA foreign_keys = ON", shared=shared)
        return session.answer(PLUGIN, asked, {}, b"", "").eid

    assert [ask(shared=True), ask(shared=True)] == [-1, -1]
    with pytest.raises(NoMatch):
        ask(shared=False)


def test_the_body_is_wanted_ahead_where_it_alone_tells() -> None:
    """An application that asks its database before it reads (a token, a throttle) gets the right cassette's answers."""
    found = library(request("/a", method="POST", body=b"one"), request("/a", method="POST", body=b"two"), request("/b"))
    for target, headers, wanted in (
        ("/a", [("Content-Length", "3")], True),
        ("/a", [("Transfer-Encoding", "chunked")], True),
        ("/a", [], False),
        ("/b", [], False),
    ):
        method = "POST" if target == "/a" else "GET"
        inbound = Inbound(type="http.server", method=method, target=target, headers=headers)
        session = Playing(Rules(mocks=lambda plugin: True, spans={}), found.choose(inbound, 0, 0))
        visit = session.visit(inbound)
        assert visit.reads_ahead == wanted
        body = visit.request_body()
        body.feed(b"two")
        body.finish()
        assert not visit.reads_ahead


def test_the_oldest_is_the_first() -> None:
    """Equal requests are served by the one that was recorded first, whatever the files are called."""
    made = [request("/a", answer=b"1"), request("/a", answer=b"2")]
    made[0].trace.start, made[1].trace.start = "2026-01-01T00:00:09+00:00", "2026-01-01T00:00:01+00:00"
    assert chosen(library(*made), "/a") == "1"


def test_the_representation_that_is_asked_for_tells_equal_targets_apart() -> None:
    """JSON or HTML, a part of it, only what is new, or what an answer says it varies by."""
    asked: list[list[tuple[str, str]]] = [
        [("Accept", "application/json")],
        [("accept", "text/html")],
        [("Accept", "text/html"), ("Range", "bytes=0-9")],
        [("Accept", "text/html"), ("If-None-Match", '"x"')],
        [("Accept", "text/html"), ("HX-Request", "true")],
    ]
    cards = []
    for number, headers in enumerate(asked):
        made = request("/a")
        assert made.inbound is not None
        made.inbound.request.headers = headers
        made.inbound.result.headers = [("Vary", "Cookie, HX-Request")]
        cards.append(deal(str(number), made))
    found = Library(cards, "here")
    for number, headers in enumerate(asked):
        inbound = Inbound(type="http.server", method="GET", target="/a", headers=[("User-Agent", "x"), *headers])
        assert [card.name for card in found.choose(inbound, 0, 0).cards] == [str(number)]
