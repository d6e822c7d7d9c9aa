"""Finds secrets in bytes that are no text: forms with a file in them, pickles, text beside binary data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from timetracer.cassette.pickled_texts import Pickled
from timetracer.cassette.prefixed_texts import prefixed
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import Names, shaped
from timetracer.cassette.text_secrets import named

_SLICE = 1 << 18  # looked at together, so that a large body is never held a second time
_OVERLAP = 1 << 12
_PRINTABLE = re.compile(rb"[^\x00-\x1f\x7f]{4,}")
MARKS = re.compile(  # one is in whatever is secret by its shape, card numbers aside
    rb"eyJ|W3si|ya29|hf_|shp|-----BEGIN|gh[pousr]_|github_pat|npm_|_live_|_test_|whsec_|A[KS]IA|AIza|xox|xapp|glpat|sk-|SG\.|pypi"
)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f\x80-\xff]")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


def redacted(data: bytes, names: Names, found: Replacements) -> bytes:
    """Returns bytes with the secrets replaced that go by a secret name in them; notes those and what has the shape.

    Random bytes are left alone: what is replaced is text, and stands right after its name.
    """
    spans: dict[int, int] = {}
    for start, end in _found(data, names, found):
        if _is_text(data[start:end]):
            spans[start] = max(end, spans.get(start, 0))
    made, done = [], 0
    for start, end in sorted(spans.items()):
        if start >= done:
            made += [data[done:start], found.put_encoded(data[start:end].decode()).encode()]
            done = end
    return b"".join((*made, data[done:])) if made else data


def _found(data: bytes, names: Names, found: Replacements) -> Iterator[tuple[int, int]]:
    pickle = Pickled(data, names) if _PICKLE.match(data) and len(data) <= _SLICE else None
    spans = _named(data, names, found)
    if pickle is None or not pickle.whole:
        yield from spans
        yield from _prefixed(data, names)
    else:  # what looks like a name and its value may be of the pickle itself
        yield from (span for span in spans if pickle.holds(*span))
    yield from () if pickle is None else pickle.secrets


def _named(data: bytes, names: Names, found: Replacements) -> Iterator[tuple[int, int]]:
    keywords = [keyword.encode() for keyword in names.keywords]
    for at in range(0, len(data), _SLICE):
        piece = data[at : at + _SLICE + _OVERLAP]
        lower = piece.lower()
        by_name = b"://" in piece or any(keyword in lower for keyword in keywords)
        by_shape = MARKS.search(piece) is not None
        if not (by_name or by_shape):
            continue
        text = piece.decode("utf-8", "surrogateescape")
        for start, end in named(text, names) if by_name else ():
            before = len(text[:start].encode("utf-8", "surrogateescape"))
            yield at + before, at + before + len(text[start:end].encode("utf-8", "surrogateescape"))
        for secret in shaped(piece.decode("latin-1")) if by_shape else ():
            found.put(secret)


def _prefixed(data: bytes, names: Names) -> Iterator[tuple[int, int]]:
    """Yields what follows a secret name in a binary format, if these bytes are one: text has no other bytes."""
    return prefixed(data, names) if len(data) <= _SLICE and _BINARY.search(data) else iter(())


def _is_text(value: bytes) -> bool:
    if not _PRINTABLE.fullmatch(value):
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def put(box: Any, key: Any, value: Any) -> None:
    """Puts a value where it was found: in a mapping, a list or a struct."""
    if isinstance(box, dict | list):
        box[key] = value
    else:
        setattr(box, key, value)
