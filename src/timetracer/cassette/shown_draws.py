"""Tells which draws of entropy a redacted document shows in what was made of them: those tell its reader nothing new.

An order number of `secrets.token_hex` or of Django's `get_random_string` stands in a row or a request and has to come
again, else the replay finds no answer. A session key was replaced there, so what it was drawn from is not kept.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator, Sequence
from math import ceil, log2
from typing import Any

from timetracer import values

_LOOKED_AT = 256
"""So many draws of one caller are looked for in the document."""
_BITS = 28
"""So much must be seen of what was drawn: less could stand in a document by chance."""
_WORD = re.compile(rb"[0-9A-Za-z]{5,}")
_ALPHABETS = (
    string.ascii_letters + string.digits,  # Django's own for `get_random_string`
    string.digits,
    string.hexdigits[:16],
    string.ascii_uppercase + string.digits,
    string.ascii_lowercase + string.digits,
    string.ascii_letters,
    string.ascii_uppercase,
    string.ascii_lowercase,
)


def shown(drawn: Sequence[Any], document: bytes) -> list[Any]:
    """Returns draws with None in place of each that the document does not show, and without those at the end.

    Args:
        drawn: encoded values of one function and caller, in order.
        document: redacted.
    """
    raws = [_raw(each) for each in drawn[:_LOOKED_AT]]
    if all(len(raw) == 1 for raw in raws):
        seen = set(_spelled(b"".join(raws), document))
    else:
        seen = {n for n, raw in enumerate(raws) if len(raw) * 8 >= _BITS and any(f in document for f in _forms(raw))}
    return [drawn[n] if n in seen else None for n in range(max(seen) + 1)] if seen else []


def _raw(encoded: Any) -> bytes:
    drawn = values.decode(encoded) if isinstance(encoded, dict) else None
    return drawn if isinstance(drawn, bytes) else b""


def _forms(raw: bytes) -> Iterator[bytes]:
    """Yields how `secrets`, `base64` and `uuid` write bytes, and `secrets.randbelow` a number."""
    plain = raw.hex()
    yield plain.encode()
    yield plain.upper().encode()
    for coded in (base64.urlsafe_b64encode(raw), base64.b64encode(raw)):
        yield coded.rstrip(b"=")
    if len(raw) == 16:
        yield "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:])).encode()
    for unused in range(8):
        number = int.from_bytes(raw, "big") >> unused
        if number >= 1 << _BITS:
            yield str(number).encode()


def _spelled(drawn: bytes, document: bytes) -> Iterator[int]:
    """Yields the places of the bytes from which a word of the document was chosen, character by character.

    Upstream: `Random._randbelow_with_getrandbits` takes the topmost bits and tries again where they are too large
    (https://github.com/python/cpython/blob/3.13/Lib/random.py).
    """
    words: set[bytes] | None = None
    for alphabet in _ALPHABETS:
        size, shift = len(alphabet), 8 - len(alphabet).bit_length()
        chosen = [n for n, byte in enumerate(drawn) if byte >> shift < size]
        least = ceil(_BITS / log2(size))
        if len(chosen) < least:
            continue
        text = "".join(alphabet[drawn[n] >> shift] for n in chosen).encode()
        words = set(_WORD.findall(document)) if words is None else words
        for word in words:
            if len(word) >= least and (at := text.find(word)) >= 0:
                yield from range(chosen[at - 1] + 1 if at else 0, chosen[at + len(word) - 1] + 1)
