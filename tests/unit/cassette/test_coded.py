"""Coded bodies: opened for redaction however coded or cut short, and left to the byte where they hold none."""

from __future__ import annotations

import gzip
import json
import zlib

import brotli
import pytest
import zstandard

from timetracer.cassette import bodies, coded
from timetracer.cassette.codings import begun
from timetracer.cassette.model import Body, Cassette, Event, Result, Sent, Signature, Trace
from timetracer.cassette.redaction import Redactor

SECRET = "Zk3nP0wq7Lm2Xv9Bt5Rd"
NOISE = "".join(chr(97 + (i * i * 7919 + i) % 26) for i in range(3000))


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


def members(data: bytes) -> bytes:
    return gzip.compress(data[:9]) + gzip.compress(data[9:])


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def twice(data: bytes) -> bytes:
    return brotli.compress(gzip.compress(data))  # type: ignore[no-any-return]


CODED = [
    pytest.param("gzip", gzipped, id="gzip"),
    pytest.param("gzip", members, id="members"),
    pytest.param("deflate", zlib.compress, id="deflate"),
    pytest.param("deflate", raw_deflate, id="raw deflate"),
    pytest.param("br", brotli.compress, id="br"),
    pytest.param("zstd", zstandard.ZstdCompressor().compress, id="zstd"),
    pytest.param("gzip, br", twice, id="twice"),
]


def through(raw: bytes, encoding: str, end: str) -> Body:
    """Returns what redaction makes of a coded body."""
    body = Body(raw=[raw[:40], raw[40:]], end=end)  # type: ignore[arg-type]
    event = Event(
        eid=0,
        type="http.client",
        signature=Signature(lib="x", method="GET", url="http://api/"),
        request=Sent(),
        result=Result(status=200, headers=[("Content-Encoding", encoding)], body=body),
    )
    cassette = Cassette(trace=Trace(trace_id="a1" * 16, root_id="b2" * 8), events=[event])
    before = coded.opened(cassette)
    hidden = Redactor().redact(cassette, owned=True)
    coded.closed(hidden.cassette, before, hidden.body)
    made = hidden.cassette.events[0].result.body
    assert made is not None
    return made


@pytest.mark.parametrize(("encoding", "code"), CODED)
@pytest.mark.parametrize("kept", [1.0, 0.8], ids=["whole", "cut short"])
def test_a_coded_secret_is_replaced(encoding: str, code: object, kept: float) -> None:
    """It decodes as far as it did, without the secret."""
    plain = json.dumps({"access_token": SECRET, "noise": NOISE}).encode()
    raw: bytes = code(plain)  # type: ignore[operator]
    raw = raw[: int(len(raw) * kept)]
    before, whole = begun(raw, encoding)
    now, whole_now = begun(b"".join(bodies.unpack(through(raw, encoding, "complete"))), encoding)
    assert SECRET.encode() not in now
    assert (len(now), whole_now) == (len(before), whole)


@pytest.mark.parametrize(("encoding", "code"), CODED)
@pytest.mark.parametrize("kept", [1.0, 0.8], ids=["whole", "cut short"])
def test_without_a_secret_the_bytes_stay(encoding: str, code: object, kept: float) -> None:
    """Nothing is coded anew that holds no secret: bytes and chunks are those that came."""
    raw: bytes = code(json.dumps({"noise": NOISE}).encode())  # type: ignore[operator]
    raw = raw[: int(len(raw) * kept)]
    assert bodies.unpack(through(raw, encoding, "complete" if kept == 1.0 else "partial")) == [raw[:40], raw[40:]]
