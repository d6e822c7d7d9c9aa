"""JSON whose secrets are changed where they stand becomes, to the byte, what the walk over all of it makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.cassette.test_quiet import JWT, spelled
from tests.unit.cassette.test_secret_corpus import CASES, DATA, SECRET, cassette, event
from timetracer.cassette import format as cassette_format
from timetracer.cassette import replacements
from timetracer.cassette.bodies import each, unpack
from timetracer.cassette.model import Cassette
from timetracer.cassette.quiet import Quiet
from timetracer.cassette.redaction import Redactor
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secret_positions import Positions
from timetracer.cassette.secrets_rules import Names

FIELDS = ["shoe size", "Ägypten Code"]


def steady(secret: str) -> str:
    """Returns always the same for one secret, of its shape."""
    noise = hashlib.sha512(secret.encode("utf-8", "surrogatepass")).digest() * len(secret)
    drawn = zip(secret, noise, strict=False)
    return "".join(
        str(byte % 9 + 1) if char.isdigit() else chr(97 + byte % 26) if char.isalpha() else char for char, byte in drawn
    )


def sealed(secret: Any) -> str:
    return f"ttsealed:v1:{base64.b64encode(str(secret).encode('utf-8', 'surrogatepass')).decode()}"


def hidden(recorded: Cassette, *, walk: bool, seal: bool) -> tuple[bytes, Cassette, Replacements]:
    """Returns the document of a cassette without its secrets, each of which is made into the same at any time."""
    names, made = Names(FIELDS), cassette_format.load(cassette_format.dump(recorded))
    found = Replacements((), sealed if seal else None)
    quiet = Quiet(names)
    positions = Positions(
        names,
        (lambda data: [] if quiet(data) else None) if walk else quiet.named,
        found,
        (lambda value: {"$sealed": sealed(value)}) if seal else None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replacements, "like", steady)
        positions.cassette(made)
        positions.blobs()
    return found.everywhere(cassette_format.dump(made), positions.texts), made, found


def compared(recorded: Cassette) -> None:
    """Checks that both ways write the same; one that the walk could only keep as text, that no secret is missed."""
    for seal in (False, True):
        walked, by_walk, found_by_walk = hidden(recorded, walk=True, seal=seal)
        changed, in_place, found = hidden(recorded, walk=False, seal=seal)
        assert set(found_by_walk.made) <= set(found.made)
        if [body.layout for body in each(by_walk)] == [body.layout for body in each(in_place)]:
            assert changed == walked


@pytest.mark.parametrize("name", CASES)
def test_the_corpus_is_written_alike(name: str) -> None:
    """Wherever applications keep secrets, alone and beside data with a secret of its own."""
    compared(cassette(CASES[name], event(got=json.dumps({"x": DATA, "token": "Qq7Lm2Xv9Bt5RdZk"}).encode())))


_SECRETS = [
    SECRET,
    "hunter2",
    "admin",
    "ab",
    "x",
    "",
    "12345678",
    "2026-01-02",
    "none",
    "****",
    JWT,
    "pässwörd-für-mich",
]
_SECRETS += [
    "Bearer " + SECRET,
    f"id={SECRET}; lang=de",
    "a/b+c=d&e",
    'quo"ted\\',
    "password",
    "code",
    "token=" + SECRET,
]
_SECRETS += [
    "4111111111111111",
    "https://me:hunter2@host/",
    "new\nline",
    "\x7f\u2028 \U0001f600",
    "$tag",
    "ttsealed:v1:x",
]
_SECRET = st.sampled_from(_SECRETS)
_BESIDE = (
    _SECRET | st.builds("see {} there".format, _SECRET) | st.sampled_from(["value", "name", "plain", "a b c", "/x/y"])
)
_BESIDE |= _SECRET.map(lambda text: base64.b64encode(text.encode()).decode())
_LEAVES = (
    _BESIDE
    | st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**17)
    | st.floats(-1e6, 1e6).map(lambda x: round(x, 2))
)
_KEYS = spelled() | st.sampled_from(
    ["id", "name", "value", "key", "text", "params", "$x", "auth", "tokens", "count", "x y"]
)
_TREES = st.recursive(
    _LEAVES | st.dictionaries(spelled(), _SECRET, max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)
_LAYOUT = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 2}])


@given(first=st.dictionaries(_KEYS, _TREES), second=_TREES, layout=_LAYOUT, ascii_only=st.booleans(), asked=_BESIDE)
@example({"token": SECRET, "a": [SECRET, f"see {SECRET}"]}, [{"x": SECRET}], {}, False, SECRET)
@example({"token": "admin", "pin": "12"}, {"admin": "admin"}, {}, False, "admin")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_data_is_written_alike(first: Any, second: Any, layout: Any, ascii_only: bool, asked: str) -> None:
    """Secrets after names of any spelling, again in the same body, in another one and in what was asked."""
    sent, got = (json.dumps(value, ensure_ascii=ascii_only, **layout).encode() for value in (first, second))
    compared(cassette(event(url=f"http://x/{asked}", sent=sent, got=got), event(got=sent)))


@pytest.mark.parametrize("mode", ["redact", "seal"])
def test_a_secret_in_place_is_replaced_everywhere(mode: Any) -> None:
    """One replacement stands for it after its name, beside it, in text, in base64 and in another body."""
    again = {"id": 1, "text": f"see {SECRET}", "coded": base64.b64encode(SECRET.encode()).decode()}
    first = json.dumps({"token": SECRET, "again": again, "left": "as it was"}).encode()
    assert Quiet(Names()).named(first) == [(11, 31, 1)]
    document = Redactor(mode, key=bytes(32) if mode == "seal" else None).dump(
        cassette(event(got=first), event(got=json.dumps([SECRET]).encode())), cassette_format.dump
    )
    made = cassette_format.load(document)
    one, two = (body.json for body in each(made))
    assert SECRET.encode() not in document
    assert again["coded"].encode() not in document
    assert one["left"] == "as it was"
    if mode == "redact":
        assert one["again"]["text"] == f"see {one['token']}"
        assert base64.b64decode(one["again"]["coded"]).decode() == one["token"]
        assert two == [one["token"]]


def test_numbers_stay_as_they_were_spelled() -> None:
    """Where only strings are secret, a body stays JSON whose numbers no printer writes alike."""
    data = b'{"price": 12.50, "far": 3.402823466e+38, "token": "' + SECRET.encode() + b'"}'
    made = Redactor().redact(cassette(event(got=data))).cassette
    (body,) = each(made)
    (token,) = made.replacements
    assert body.layout == "spaced"
    assert b"".join(unpack(body)) == data.replace(SECRET.encode(), token.encode())
