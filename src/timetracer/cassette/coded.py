"""Bodies under a content coding (gzip, br, zstd): opened for redaction, kept to the byte where it changed none."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from timetracer.cassette import bodies, codings
from timetracer.cassette.model import NO_JSON, Body, Cassette, Pairs
from timetracer.errors import CassetteCorrupt


class Coded(msgspec.Struct, frozen=True):
    """One body that was opened: its chunks as they were, what they hold, how it is coded, whether it is whole."""

    chunks: list[bytes]
    plain: bytes
    encoding: str
    whole: bool


def opened(cassette: Cassette) -> list[Coded | None]:
    """Takes the coding off every raw body that has one, in place.

    Returns:
        For each body, in the order of `bodies.each`, what it was; None for one that is not coded or cannot be decoded
        (clients that decode before we see the bytes keep the header all the same).
    """
    return [_open(body, headers) for body, headers in _with_headers(cassette)]


def _open(body: Body, headers: Pairs) -> Coded | None:
    if body.raw is None:
        return None
    coding = (value for name, value in headers if len(name) == 16 and name.lower() == "content-encoding")
    if (encoding := next(coding, None)) is None:
        return None
    plain, whole = codings.begun(b"".join(body.raw), encoding)
    if not plain:
        return None
    coded = Coded(body.raw, plain, encoding, whole and body.end == "complete")
    body.raw, body.encoding = [plain], encoding
    return coded


def _with_headers(cassette: Cassette) -> Iterator[tuple[Body, Pairs]]:
    calls: list[Any] = [*cassette.events, *cassette.shared.values()]
    for holder in calls if cassette.inbound is None else [cassette.inbound, *calls]:
        for side in (holder.request, holder.result):
            if side.body is not None:
                yield side.body, side.headers


def closed(
    cassette: Cassette,
    before: list[Coded | None],
    redacted: Callable[[bytes], bytes],
    seal: Callable[[str], str] | None = None,
) -> None:
    """Puts the bytes back as they were where redaction left a body alone and coding it again gives other bytes.

    Args:
        before: what `opened` returned; the cassette was redacted since.
        redacted: replaces the secrets that were found, in bytes.
        seal: seals a text as a whole, where secrets are sealed.
    """
    for body, coded in zip(bodies.each(cassette), before, strict=True):
        if coded is None:
            continue
        if sealed(body.base64 or body.text or ""):
            continue
        now = b"".join(bodies.unpack(body, recoding=False))
        redacted_now = redacted(now)
        if not coded.whole:
            body.printed = NO_JSON
            body.layout = body.text = body.base64 = body.encoding = body.chunks = None
            if b"ttsealed:" in redacted_now and seal is not None:
                body.base64, body.raw = seal(base64.b64encode(b"".join(coded.chunks)).decode()), None
                body.chunks = [len(chunk) for chunk in coded.chunks]
            else:
                body.raw = _cut_short(coded, redacted_now, redacted)
            continue
        if now != coded.plain or redacted_now != now:
            continue
        raw = b"".join(coded.chunks)
        if not _comes_back(coded, raw):
            body.printed = NO_JSON
            body.layout = body.text = body.base64 = body.encoding = None
            body.raw = coded.chunks
        elif len(coded.chunks) > 1:
            body.chunks = [len(chunk) for chunk in coded.chunks]


def sealed(text: str) -> bool:
    """Whether a body is sealed as a whole, so that nothing but its key opens it."""
    return text.startswith("ttsealed:")


def _cut_short(coded: Coded, plain: bytes, redacted: Callable[[bytes], bytes]) -> list[bytes]:
    """Returns the chunks of a body that decodes to what is redacted, and then ends as early as it did."""
    if plain == coded.plain:
        return bodies.changed(coded.chunks, redacted)  # a client may have decoded it: then the bytes are no code
    return bodies.changed(coded.chunks, lambda _: codings.recode(plain, coded.encoding, whole=False))


def _comes_back(coded: Coded, raw: bytes) -> bool:
    try:
        return codings.recode(coded.plain, coded.encoding) == raw
    except CassetteCorrupt:
        return False
