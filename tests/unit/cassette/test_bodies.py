"""Bodies are kept readable, and restored to the byte."""

from __future__ import annotations

import gzip
import json
import zlib

import brotli
import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from timetracer.cassette import codings, format
from timetracer.cassette.bodies import pack, unpack
from timetracer.cassette.codings import decoded, recode
from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.errors import CassetteCorrupt

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("raw", "layout"),
    [
        (b'{"a":1,"b":[1.5,"x"]}', "compact"),
        (b'{"a": 1, "b": [1.5, "x, y"]}', "spaced"),
        ('{"a":"é"}'.encode(), "compact"),
        (b'{"a":"\\u00e9"}', "compact+ascii"),
        (b'{"a": "\\u00e9"}', "spaced+ascii"),
        (b'{"a":"x, y"}', "compact"),
        (b'{"a":1}\n', "compact+newline"),
        (b"[]", "compact"),
        (b'{"a":1,"a":2}', "compact"),
        (b'{"a": 1.0e5, "b": -0, "c": 1.50}', "spaced"),
    ],
)
def test_json_is_kept_as_json(raw: bytes, layout: str) -> None:
    """A body that a known layout prints again is kept as JSON."""
    body = pack([raw])
    assert (body.layout, body.json) == (layout, json.loads(raw))
    assert unpack(body) == [raw]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":NaN}',
        b'{"a" : 1}',
        b'{\n  "a": 1\n}',
        b'["\\ud800"]',
        b"[" * 200 + b"]" * 200,
        b"[" * 100_000,
        b"{broken",
        b"plain",
        b'["\\/"]',
    ],
    ids=lambda raw: raw[:20].decode(),
)
def test_what_json_would_change_is_kept_as_text(raw: bytes) -> None:
    """Unusual spaces and escapes, depth and what is no JSON keep the bytes as they are."""
    body = pack([raw])
    assert (body.text, body.json, body.layout) == (raw.decode(), None, None)
    assert unpack(body) == [raw]


def test_a_number_that_python_does_not_read_is_kept() -> None:
    """JSON with a number of thousands of digits comes back, and what it says is its text."""
    raw = b"[" + b"1" * 5000 + b"]"
    body = pack([raw])
    assert unpack(body) == [raw]
    assert body.json == raw.decode()


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"\x00abc", gzip.compress(b"{}", mtime=0), "\ud800".encode("utf-8", "surrogatepass")]
)
def test_other_bytes_are_kept_as_base64(raw: bytes) -> None:
    """Bytes that are no readable text are kept exactly."""
    body = pack([raw])
    assert body.base64
    assert unpack(body) == [raw]


@pytest.mark.parametrize(
    "raw", [b"[]", b"{}", b'{"a":null}', b"[-0.0,1e+22,18446744073709551616]", b'{"$decimal":"1"}']
)
def test_json_survives_the_cassette_around_it(raw: bytes) -> None:
    """Empty, null, look-alike and unusual JSON is restored from the file, too."""
    event = Event(1, "http.client", Signature("httpx", "GET", "/"), Sent(), Result(body=Body(raw=[raw])))
    read = format.load(format.dump(Cassette(trace=Trace(trace_id="1", root_id="2"), events=[event])))
    body = read.events[0].result.body
    assert body is not None
    assert body.layout == "compact"
    assert unpack(body) == [raw]


def test_chunks_are_kept() -> None:
    """Chunk sizes survive, empty chunks too, and one chunk needs no sizes."""
    raw = [b"ab", b"", b"\xc3", b"\xa9c"]
    assert unpack(pack(raw)) == raw
    assert pack([b"ab"]).chunks is None
    assert unpack(pack([])) == []
    assert unpack(pack([b"", b""])) == [b"", b""]


def test_a_body_of_another_length_keeps_every_byte() -> None:
    """After redaction changed the length the last chunk takes the rest."""
    assert unpack(Body(text="abcdef", chunks=[2, 2])) == [b"ab", b"cdef"]


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_any_bytes_come_back(raw: list[bytes]) -> None:
    """Whatever the bytes, they and their chunks are restored."""
    assert [x for x in unpack(pack(raw)) if x] == [x for x in raw if x]
    assert len(raw) < 2 or unpack(pack(raw)) == raw


@given(JSON, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (",", ": ")]))
def test_any_json_comes_back(value: object, ascii_only: bool, separators: tuple[str, str]) -> None:
    """Whatever the JSON and its layout, the bytes are restored."""
    raw = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")
    assert unpack(pack([raw])) == [raw]


def test_a_large_body_goes_to_a_side_file() -> None:
    """Above the limit the body names a file, which is checked when it is read."""
    files: dict[str, bytes] = {}

    def side_file(data: bytes) -> str:
        files["x.1.body"] = data
        return "x.1.body"

    body = pack([b"abc", b"def"], inline_limit=5, side_file=side_file)
    assert (body.file, body.text, files) == ("x.1.body", None, {"x.1.body": b"abcdef"})
    assert unpack(body, files.__getitem__) == [b"abc", b"def"]
    with pytest.raises(CassetteCorrupt, match="SHA-256"):
        unpack(body, lambda name: b"abcdeF")
    with pytest.raises(CassetteCorrupt, match="not read"):
        unpack(body)
    assert pack([b"abcde"], inline_limit=5, side_file=side_file).text == "abcde"


@pytest.mark.parametrize("body", [Body(base64="!"), Body(printed=msgspec.Raw(b"1"), layout="odd")])
def test_a_broken_body_is_corrupt(body: Body) -> None:
    """A body in no known form is CassetteCorrupt."""
    with pytest.raises(CassetteCorrupt, match="body cannot be restored"):
        unpack(body)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", " GZIP "])
def test_a_content_coding_comes_off_and_goes_on(coding: str) -> None:
    """What is recoded decodes to the same data, also through `encoding` of a body."""
    data = b'{"a":1}' * 100
    assert decoded(recode(data, coding), coding) == data
    (coded,) = unpack(pack([data], encoding=coding))
    assert decoded(coded, coding) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_coded_body_that_is_not_whole_stays_coded(coding: str) -> None:
    """Truncated, broken, or followed by more: there is nothing to decode safely."""
    whole = recode(b"some text, some text, some more text" * 9, coding)
    assert decoded(whole[:-4], coding) is None
    assert decoded(b"nonsense", coding) is None
    assert decoded(whole + b"more", coding) is None


def test_a_bomb_stays_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would decode to more than the limit is left alone."""
    monkeypatch.setattr(codings, "DECODED_LIMIT", 100_000)
    bomb = b"0" * 1_000_000
    frame = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    made = {
        "gzip": gzip.compress(bomb),
        "deflate": zlib.compress(bomb),
        "br": brotli.compress(bomb),
        "zstd": frame.compress(bomb) + frame.flush(),
    }
    assert {coding: decoded(data, coding) for coding, data in made.items()} == dict.fromkeys(made)


def test_an_unknown_coding_is_named() -> None:
    """No coding is guessed."""
    assert decoded(b"x", "lzma") is None
    with pytest.raises(CassetteCorrupt, match="'lzma'"):
        recode(b"x", "lzma")
