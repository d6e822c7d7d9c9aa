"""A body that needs no redaction is told by its bytes, and never too generously."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timetracer.cassette import quiet, secret_words, secrets_rules
from timetracer.cassette.bodies import each, packed, unpack
from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.cassette.quiet import Quiet
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secret_positions import Positions
from timetracer.cassette.secret_words import SecretWords
from timetracer.cassette.secrets_rules import PLAIN, SECRET, Names
from timetracer.cassette.text_secrets import named

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
        b'{"at": 1700000000000, "hash": "12345678901234567890abcdef"}',
    ],
)
def test_what_holds_none_is_harmless(document: bytes) -> None:
    """Common data is told from secrets without a walk over it."""
    assert Quiet(Names())(document)


@pytest.mark.parametrize("spelled", ["пароль", "ПАРОЛЬ", "Пароль"])
def test_a_name_that_users_gave_is_heard_in_letters_of_any_alphabet(spelled: str) -> None:
    """Bytes beyond ASCII do not show what is a capital letter."""
    assert not Quiet(Names(["пароль"]))(f'{{"{spelled}": "hunter2 and more"}}'.encode())
    assert Quiet(Names(["пароль"]))(b'{"name": "article 1"}')


@given(
    parts=st.lists(
        st.sampled_from([word.decode() for word in quiet._MARKS])
        | st.sampled_from(
            [before + rare + after for before, rare, after, _ in secret_words._WORD.findall(secret_words._WORDS)]
        )
        | st.sampled_from(
            ["shoe", "kennwort", "/", '"', "a", "e", "Zk3nP0wq7L", "_", "m", "invi", "hook", "toke", "ma"]
        ),
        max_size=8,
    )
)
def test_words_that_overlap_are_found_with_the_extra_and_without(parts: list[str]) -> None:
    """However words run into each other, a text that holds one is a text that holds one."""
    text = "".join(parts)
    with_it, without = Quiet(Names(_FIELDS)), without_the_extra(Names(_FIELDS))
    for words in (text, text.lower()):
        data = f'["x","{words}",1]'.encode()
        folded = data.translate(quiet._FOLDED)
        assert bool(with_it._words.places(folded)) == bool(without._words.places(folded))
        assert with_it._is_in_doubt(data, folded) == without._is_in_doubt(data, folded)


def test_without_the_extra_nothing_is_missing() -> None:
    """The extra is installed where the tests run, and what goes without it is `re` alone."""
    assert secret_words.finder([b"x"]) is not None
    assert without_the_extra(Names())._marked is None
    assert SecretWords().places(b'"token":"hook-secret"') != []


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
    left_alone(data)


def without_the_extra(names: Names) -> Quiet:
    """Returns what looks at bodies with `re` alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret_words, "BytesAhoCorasick", None)
        return Quiet(names)


def left_alone(data: bytes, fields: Sequence[str] = ()) -> None:
    """Checks that the walk finds nothing in a body that is called quiet, with the extra `fast` and without."""
    named = Quiet(Names(fields)).named(data)
    assert without_the_extra(Names(fields)).named(data) == named
    if named != []:
        return
    event = Event(1, "http.client", Signature("httpx", "GET", "http://x/"), Sent(), Result(body=Body(raw=[data])))
    cassette = packed(Cassette(trace=Trace(trace_id="0" * 32, root_id="0" * 16), events=[event]))
    before, found = deepcopy(cassette), Replacements()
    positions = Positions(Names(fields), lambda body: None, found)
    positions.cassette(cassette)
    positions.blobs()
    assert not found.made
    # by its bytes: a body whose numbers no printer writes alike (3.402823466e+38) is kept as text once it was walked
    assert [unpack(body) for body in each(cassette)] == [unpack(body) for body in each(before)]


_FIELDS = ["shoe size", "kennwort", "Ägypten Code", "x1y2", "PIN2"]
_SECRET = st.sampled_from(["Zk3nP0wq7Lm2Xv9Bt5Rd", "hunter2", "Bearer Zk3nP0wq7Lm2Xv9Bt5Rd", "12345678"])
_CALLED = [
    *((word,) for word in sorted(secrets_rules._WORDS | secrets_rules._LAST | secrets_rules._OPAQUE)),
    *secrets_rules._PHRASES,
    *(tuple(field.split()) for field in _FIELDS),
    *((word,) for word in ("code", "grant_type", "value", "name", "params", "rows", "sql", "authorization")),
]
_JOINED: list[Callable[[Sequence[str]], str]] = [
    *(mark.join for mark in ("_", "-", ".", "/", " ", "")),
    lambda words: words[0] + "".join(word.title() for word in words[1:]),
    lambda words: "X" + "".join(word.title() for word in words) + "2",
    lambda words: "_".join(words).upper(),
    lambda words: "the_" + "_".join(words) + "_1",
]
_FORMS = [
    *(
        "{0}" + joined + "{1}" + end
        for joined in (
            "=",
            ": ",
            ":",
            "='",
            '="',
            '":"',
            '\\":\\"',
            " => ",
            "') = ('",
            "', '",
            "--",
            "</",
            "&quot;:&quot;",
        )
        for end in ("", "&x=1", "'", '"', "')", "</a>")
    ),
    '<input name="{}" value="{}">',
    "<input value='{1}' name={0}>",
    "<{0}>{1}</{0}>",
    "<key>{}</key><string>{}</string>",
    "--{} {}",
    "--{}",
    '{{"{}": "{}"}}',
    "?x=1&{}={}&state=2",
    "/reset/{1}/{0}",
    "https://hooks.slack.com/services/T1/{1}{0}",
    "https://{0}:{1}@host/",
    "INSERT INTO t (a, {0}) VALUES (1, '{1}')",
    "{0}",
    "{1}",
    JWT,
    "ghp_" + "aB3x" * 9,
    "hf_" + "aB3x" * 9,
    "ya29." + "aB3x" * 9,
    "378282246310005",
    '"',
    "\\",
    "[",
]


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A name that may be a secret's."""
    return draw(st.sampled_from(_JOINED))(draw(st.sampled_from(_CALLED)))


@st.composite
def _near(draw: st.DrawFn) -> str:
    """A text that may hold a secret, or two."""
    pieces = draw(st.lists(st.sampled_from(_FORMS), min_size=1, max_size=2))
    return "".join(piece.format(draw(spelled()), draw(_SECRET)) for piece in pieces)


_NESTED = st.recursive(
    _near() | st.integers(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(spelled() | _near(), inner, max_size=3),
        st.builds(lambda name, value: [name, value], spelled(), inner),
        st.builds(lambda name, value: {"value": value, "name": name}, spelled(), inner),
    ),
    max_leaves=6,
)


@given(value=_NESTED, ascii_only=st.booleans(), layout=st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_comes_near_a_secret_is_quiet_only_where_the_walk_finds_none(
    value: Any, ascii_only: bool, layout: Any
) -> None:
    """Every way to name a secret, in JSON of every layout and in text, with names that users gave as well."""
    for data in (json.dumps(value, ensure_ascii=ascii_only, **layout), str(value)):
        left_alone(data.encode(errors="surrogatepass"), _FIELDS)


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


@pytest.mark.parametrize("words", _NAMES, ids=" ".join)
def test_every_secret_name_is_found_in_text_and_in_sql(words: Sequence[str]) -> None:
    """However a name is written that makes its value secret, it does so in a form and in a statement."""
    for name in (spelled(words) for spelled in _SPELLINGS):
        if Names()[name] != SECRET:
            continue
        form = f"a=1&{name}=Zk3nP0wq7Lm2Xv9B&b=2"
        assert [form[start:end] for start, end in named(form, Names())] == ["Zk3nP0wq7Lm2Xv9B"], name
        if name.isidentifier():
            sql = f"SELECT 1 FROM t WHERE x = 1 AND {name} = 'Zk3nP0wq7Lm2Xv9B'"
            event = Event(1, "db.query", Signature("x", "SELECT", "db", fields={"sql": sql}), Sent(), Result())
            Positions(Names(), Quiet(Names()).named, found := Replacements()).cassette(
                Cassette(trace=Trace(trace_id="0" * 32, root_id="0" * 16), events=[event])
            )
            assert list(found.made) == ["Zk3nP0wq7Lm2Xv9B"], name
