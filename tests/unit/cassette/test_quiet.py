"""A body that needs no redaction is told by its bytes, and never too generously."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timetracer.cassette import secrets_rules
from timetracer.cassette.bodies import packed
from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.cassette.quiet import Quiet
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secret_positions import Positions
from timetracer.cassette.secrets_rules import PLAIN, Names

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    "document",
    [
        b'{"password": "hunter2 and more"}',
        b'{"a": 1, "api_key" : "hunter2 and more"}',
        b'{"pass\\u0077ord": "hunter2 and more"}',
        b'["password", "hunter2 and more"]',
        b'[1, [ "cookie", "id=hunter2"]]',
        b'{":x": ",", "text": "the password = hunter2"}',
        b'{"text": "{\\"secret\\":\\"hunter2\\"}"}',
        b'{"text": "https:\\/\\/me:hunter2@host\\/"}',
        b'{"text": "see\\n' + JWT.encode() + b'"}',
        b'{"text": "see\\n4111 1111 1111 1111"}',
        b'{"number": 4111111111111111}',
        b'{"$base64": "cGFzc3dvcmQ9aHVudGVyMg=="}',
        b'{"x": "\\\\", "password": "hunter2 and more"}',
        b'{"x": "\\\\\\"", "password": "hunter2 and more"}',
        b'{"shoe": {"shoeSize4you": "hunter2 and more"}}',
        b'{"password": "hunter2 and more"',
        b'password: "x"',
    ],
)
def test_what_may_hold_a_secret_is_never_harmless(document: bytes) -> None:
    """Names, pairs, running text, shapes, escapes, tags and what is no JSON go the long way."""
    assert not Quiet(Names(["shoe size 4 you"]))(document)


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b'[{"id": 1, "name": "article 1", "price": 1.25, "tags": ["new", "blue"], "stock": true}]',
        b'{"text": "a \\"quoted\\" text: with = and </b>, of 2026-01-02T03:04:05Z", "at": 1700000000}',
    ],
)
def test_what_holds_none_is_harmless(document: bytes) -> None:
    """Common data is told from secrets without a walk over it."""
    assert Quiet(Names())(document)


_WORDS = st.sampled_from(
    ["password", "cookie", "token", "id", "name", "x=y", "secret: abcdefgh", JWT, '"', "\\", "[", ":", "a@b", "4" * 16]
)
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=st.lists(_DATA), ascii_only=st.booleans(), compact=st.booleans())
def test_what_is_quiet_the_walk_leaves_alone(value: Any, ascii_only: bool, compact: bool) -> None:
    """Whatever is called quiet, the walk of redaction does not change, nor finds anything in."""
    data = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":") if compact else None).encode(
        errors="surrogatepass"
    )
    if not Quiet(Names())(data):
        return
    event = Event(1, "http.client", Signature("httpx", "GET", "http://x/"), Sent(), Result(body=Body(raw=[data])))
    cassette = packed(Cassette(trace=Trace(trace_id="0" * 32, root_id="0" * 16), events=[event]))
    before, found = deepcopy(cassette), Replacements()
    positions = Positions(Names(), lambda body: False, found)
    positions.cassette(cassette)
    positions.blobs()
    assert not found.made
    assert cassette == before


_SPELLINGS = [
    "_".join,
    "-".join,
    "".join,
    lambda words: words[0] + "".join(word.title() for word in words[1:]),
    lambda words: "_".join(words).upper(),
    lambda words: "_".join(words) + "_2",
    lambda words: "".join(words) + "2",
    lambda words: "the_" + "_".join(words),
]
_NAMES = [
    *((word,) for word in sorted(secrets_rules._WORDS | secrets_rules._LAST)),
    *secrets_rules._PHRASES,
    *(
        ("smtp", "pass"),
        ("x", "auth"),
        ("authentication",),
        ("proxy", "authorization"),
        ("sec", "websocket", "protocol"),
    ),
]


@pytest.mark.parametrize("words", _NAMES, ids=" ".join)
def test_every_secret_name_is_heard(words: Sequence[str]) -> None:
    """However a name is written that makes its value secret, its body is looked into."""
    for name in (spelled(words) for spelled in _SPELLINGS):
        if Names()[name] != PLAIN:
            assert not Quiet(Names())(json.dumps({"a": 1, name: "hunter2 and more"}).encode()), name
