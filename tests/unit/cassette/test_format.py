"""A cassette comes back from its JSON as it was, and whatever is broken is said."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timetracer.cassette.bodies import unpack
from timetracer.cassette.format import dump, load
from timetracer.cassette.model import (
    FORMAT,
    Body,
    Cassette,
    Draw,
    Event,
    Inbound,
    Items,
    Result,
    Sent,
    Signature,
    Span,
    Trace,
)
from timetracer.errors import CassetteCorrupt, CassetteVersionError, UnsupportedError
from timetracer.values import decode, encode

# A path that was not UTF-8 has lone low surrogates (surrogateescape); JSON itself joins a high one and a low one.
ESCAPED = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
VALUE = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DATA = VALUE.map(encode)
HEADERS = st.lists(st.tuples(ESCAPED, ESCAPED), max_size=2)
BODY = st.none() | st.builds(Body, raw=st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=2))
OFFSET = st.floats(allow_nan=False, allow_infinity=False)
SENT = st.builds(Sent, headers=HEADERS, body=BODY)
RESULT = st.builds(
    Result,
    status=st.none() | st.integers(0, 999),
    headers=HEADERS,
    value=DATA,
    body=BODY,
    items=st.none() | st.builds(Items, values=st.lists(DATA, max_size=2)),
    replies=st.none() | st.lists(DATA, max_size=2),
    cancelled=st.booleans(),
)
EVENT = st.builds(
    Event,
    eid=st.integers(0, 2**40),
    type=st.just("http.client"),
    signature=st.builds(Signature, lib=ESCAPED, method=ESCAPED, url=ESCAPED),
    request=SENT,
    result=RESULT,
    start_offset_ms=OFFSET,
)
CASSETTES = st.builds(
    Cassette,
    trace=st.builds(Trace, trace_id=ESCAPED, root_id=ESCAPED, resource=st.just({"a": 1})),
    inbound=st.none() | st.builds(Inbound, type=ESCAPED, method=ESCAPED, target=ESCAPED, request=SENT, result=RESULT),
    events=st.lists(EVENT, max_size=2),
    shared=st.dictionaries(ESCAPED, EVENT, max_size=1),
    draws=st.lists(st.builds(Draw, lane=ESCAPED, source=ESCAPED, values=st.lists(DATA, max_size=2)), max_size=1),
    spans=st.lists(st.builds(Span, span_id=ESCAPED, name=ESCAPED, kind=ESCAPED), max_size=1),
)


def small(**fields: Any) -> Cassette:
    """Makes a cassette with little in it."""
    return Cassette(trace=Trace(trace_id="1" * 32, root_id="2" * 16), **fields)


def event(**result: Any) -> Event:
    """Makes an event with this result."""
    return Event(1, "http.client", Signature("httpx", "GET", "http://x/"), Sent(), Result(**result))


def unpacked(cassette: Cassette) -> Any:
    """Returns all that a cassette says, its bodies as bytes."""

    def walk(item: Any) -> Any:
        if isinstance(item, Body):
            return ("body", unpack(item), item.end)
        if isinstance(item, msgspec.Struct):
            return {name: walk(getattr(item, name)) for name in item.__struct_fields__}
        if isinstance(item, (list, tuple)):
            return [walk(x) for x in item]
        return {key: walk(x) for key, x in item.items()} if isinstance(item, dict) else item

    return walk(cassette)


@given(CASSETTES)
def test_any_cassette_comes_back(cassette: Cassette) -> None:
    """Whatever is in it, a cassette is the same after writing and reading, and is written the same again."""
    data = dump(cassette)
    read = load(data)
    assert unpacked(read) == unpacked(cassette)
    assert dump(read) == data


@given(VALUE)
def test_any_value_comes_back_through_a_cassette(value: object) -> None:
    """Encoded values survive this very JSON, not only the standard library's."""
    made = decode(load(dump(small(events=[event(value=encode(value))]))).events[0].result.value)
    assert repr(made) == repr(value)


def test_a_cassette_reads_well_in_a_diff() -> None:
    """One field a line, in UTF-8, defaults left out, ending in a newline."""
    written = dump(small(events=[event(status=200, body=Body(raw=['{"name":"é"}'.encode()]))])).decode()
    assert re.search(r'\n +"name": "é"\n', written)
    assert written.endswith("}\n")
    assert "incomplete" not in written
    assert "raw" not in written
    assert json.loads(written)["format"] == FORMAT


def test_writing_leaves_the_cassette_alone() -> None:
    """Bodies stay raw in memory."""
    cassette = small(events=[event(body=Body(raw=[b"a", b"b"]))])
    dump(cassette)
    assert cassette.events[0].result.body == Body(raw=[b"a", b"b"])


def test_lone_surrogates_stay_readable_around_them() -> None:
    """Only the surrogate itself is escaped."""
    cassette = small(inbound=Inbound("http.server", "GET", "/é/\udce9"))
    data = dump(cassette)
    assert '"/é/\\udce9"'.encode() in data
    assert load(data) == cassette


@pytest.mark.parametrize("found", [FORMAT + 1, 99])
def test_a_newer_format_is_named(found: int) -> None:
    """The error says which format was found, which is read, and what to do, even if nothing else can be read."""
    with pytest.raises(CassetteVersionError, match=rf"format {found}, .* reads format {FORMAT}: upgrade"):
        load(b'{"format": %d, "trace": ["other"]}' % found)
    with pytest.raises(CassetteVersionError, match="upgrade"):
        load(dump(small()).replace(b'"format": 2', b'"format": %d' % found) if FORMAT == 2 else b"")


def test_the_format_of_1x_is_named() -> None:
    """A cassette of timetracer 1.x is not called broken."""
    with pytest.raises(CassetteVersionError, match=r"format 1\.0.*timetracer import"):
        load(b'{"schema_version": "1.0", "session": {}}')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "invalid"),
        (b"null", "Expected `object`"),
        (b"{}", "names no format"),
        (b'{"format": 2}', "no `trace`"),
        (b'{"format": 2, "trace": {"trace_id": 1}}', r"\$\.trace\.trace_id"),
        (b'{"trace": {"trace_id": "a", "root_id": "\\ud800"}, "events": 5}', r"\$\.events"),
        (b'{"trace": {"trace_id": "a", "root_id": "\\ud800"', "delimiter"),
        (b'{"trace": {"trace_id": "a", "root_id": "b"}, "logs": [' + b'{"a":' * 100_000, "deep"),
    ],
)
def test_a_broken_cassette_says_what_and_where(data: bytes, message: str) -> None:
    """Every breakage is CassetteCorrupt."""
    with pytest.raises(CassetteCorrupt, match=message):
        load(data)


def test_a_truncated_cassette_is_corrupt_wherever_it_ends() -> None:
    """No prefix of a cassette passes for a cassette."""
    data = dump(small(events=[event(status=200)], inbound=Inbound("http.server", "GET", "/\udce9")))
    for end in range(len(data) - 2):
        with pytest.raises(CassetteCorrupt):
            load(data[:end])


def test_a_cassette_too_large_is_corrupt() -> None:
    """The size is checked before anything is read."""
    with pytest.raises(CassetteCorrupt, match="at most 10 are read"):
        load(dump(small()), limit=10)


@pytest.mark.parametrize("value", [object(), "deep"])
def test_what_is_no_json_is_refused(value: Any) -> None:
    """An object that was not encoded, or data too deep to be read again, is not written."""
    if value == "deep":
        for _ in range(100_000):
            value = [value]
    with pytest.raises(UnsupportedError, match="cannot be written"):
        dump(small(logs=[{"a": value}]))
