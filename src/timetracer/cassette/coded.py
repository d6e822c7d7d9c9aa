"""Bodies under a content coding (gzip, br, zstd): opened for redaction, kept to the byte where it changed none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from timetracer.cassette import bodies
from timetracer.cassette.model import Body, Cassette, Pairs
from timetracer.errors import CassetteCorrupt


@dataclass(frozen=True, slots=True)
class Coded:
    """One body that was opened: its chunks as they were, what they hold, and how it is coded."""

    chunks: list[bytes]
    plain: bytes
    encoding: str


def opened(cassette: Cassette) -> list[Coded | None]:
    """Takes the coding off every raw body that has one, in place.

    Returns:
        For each body, in the order of `bodies.each`, what it was; None for one that is not coded or cannot be decoded
        (clients that decode before we see the bytes keep the header all the same).
    """
    return [_open(body, headers) for body, headers in _with_headers(cassette)]


def _open(body: Body, headers: Pairs) -> Coded | None:
    encoding = next((value for name, value in headers if name.lower() == "content-encoding"), None)
    if encoding is None or body.raw is None or body.end != "complete":
        return None
    plain = bodies.decoded(b"".join(body.raw), encoding)
    if plain is None:
        return None
    coded = Coded(body.raw, plain, encoding)
    body.raw, body.encoding = [plain], encoding
    return coded


def _with_headers(cassette: Cassette) -> Iterator[tuple[Body, Pairs]]:
    calls: list[Any] = [*cassette.events, *cassette.shared.values()]
    for holder in calls if cassette.inbound is None else [cassette.inbound, *calls]:
        for side in (holder.request, holder.result):
            if side.body is not None:
                yield side.body, side.headers


def closed(cassette: Cassette, before: list[Coded | None], redacted: Callable[[bytes], bytes]) -> None:
    """Puts the bytes back as they were where redaction left a body alone and coding it again gives other bytes.

    Args:
        before: what `opened` returned; the cassette was redacted since.
        redacted: replaces the secrets that were found, in bytes.
    """
    for body, coded in zip(bodies.each(cassette), before, strict=True):
        if coded is None:
            continue
        now = b"".join(bodies.unpack(body, recoding=False))
        if now != coded.plain or redacted(now) != now:
            continue
        raw = b"".join(coded.chunks)
        if not _comes_back(coded, raw):
            body.json = body.layout = body.text = body.base64 = body.encoding = None
            body.raw = coded.chunks
        elif len(coded.chunks) > 1:
            body.chunks = [len(chunk) for chunk in coded.chunks]


def _comes_back(coded: Coded, raw: bytes) -> bool:
    try:
        return bodies.recode(coded.plain, coded.encoding) == raw
    except CassetteCorrupt:
        return False
