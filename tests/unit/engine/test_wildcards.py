"""What redaction replaced may be another value in a replay, and nothing more than a value."""

from __future__ import annotations

import pytest

from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.engine.matching import Index, Matcher, question

URL = "http://api/x?token=Ab3dEf7hIj&page=1"


def answered(recorded: bytes, replacements: list[str], body: bytes, url: str = URL) -> bool:
    """Whether an event answers a call with this body."""
    event = Event(
        eid=0,
        type="http.client",
        signature=Signature(lib="x", method="POST", url=URL),
        request=Sent(body=Body(raw=[recorded])),
        result=Result(status=200),
    )
    cassette = Cassette(trace=Trace(trace_id="a1" * 16, root_id="b2" * 8), events=[event], replacements=replacements)
    matcher = Matcher(Index(cassette, lambda _: recorded))
    text = question("x", "http.client", "POST", url, {}, body, frozenset())
    return matcher.find(text, ("x", "http.client", "POST"), "") is not None


@pytest.mark.parametrize(
    ("body", "token", "matches"),
    [
        (b'{"q":"live00live","n":1}', "live00live", True),
        (b'{"q":"live00live","n":1}', "other0live", False),
        (b'{"q":"x","admin":true,"n":1}', "x", False),
        (b'{"q":"live00live","n":1}', "live00live&admin=1", False),
        (b'{"q":"live00live","n":1}', "live00live/../y", False),
    ],
)
def test_a_wildcard_is_one_value(body: bytes, token: str, matches: bool) -> None:
    """It takes no further field, parameter or segment, and is the same value in all its places."""
    recorded = b'{"q":"Ab3dEf7hIj","n":1}'
    assert answered(recorded, ["Ab3dEf7hIj"], body, URL.replace("Ab3dEf7hIj", token)) is matches


def test_a_replacement_with_quotes_is_a_wildcard() -> None:
    """A password with marks is found as JSON writes it."""
    assert answered(b'{"q":"Gl7\\"x/+ab"}', ['Gl7"x/+ab'], b'{"q":"Zq8\\"x/+ab"}')


def test_placeholders_and_bytes_are_no_text() -> None:
    """What a call says in so many words is not taken for an id left out, or for the byte it spells."""
    assert not answered(b"id=*id*", [], b"id=11111111-1111-1111-1111-111111111111")
    assert not answered(b"x=\xff", [], b"x=\\xff")


def test_hostile_replacements_take_no_time() -> None:
    """A cassette that lists single letters as replacements is compared in no more time."""
    assert not answered(b"ab" * 40, ["a", "b"], b"a" * 200 + b"!")
    letters = [chr(97 + n) for n in range(26)]
    assert not answered("".join(letters).encode() * 4, letters, b"a" * 3000 + b"!")
