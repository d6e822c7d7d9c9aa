"""Finds secrets in binary formats that write a text's length before it: MessagePack, CBOR, maps of protobuf."""

from __future__ import annotations

import re
from collections.abc import Iterator

from timetracer.cassette.secrets_rules import OPAQUE, PLAIN, Names

_NAME = re.compile(rb"[\w.\-]+")
_LONGEST = 1 << 16


def prefixed(data: bytes, names: Names) -> Iterator[tuple[int, int]]:
    """Yields where texts stand whose length is written before them, right after a secret name written so."""
    lower = data.lower()
    for keyword in names.keywords:
        at = lower.find(keyword.encode())
        while at >= 0:
            start = at
            while start > 0 and at - start < 200 and _NAME.match(data, start - 1, start):
                start -= 1
            name = _NAME.match(data, start)
            end = name.end() if name else at + 1
            yield from _after(data, start, end, names)
            at = lower.find(keyword.encode(), end)


def _after(data: bytes, start: int, end: int, names: Names) -> Iterator[tuple[int, int]]:
    for first in (start, start + 1):  # a length may look like a letter of the name
        for last in (end, end - 1):  # and so may what says how long the value is
            size = last - first
            if size < 2 or not _says(data, first, size):
                continue
            if not PLAIN < names[data[first:last].decode("ascii", "replace")] < OPAQUE:
                continue
            if (value := _text_at(data, last)) is not None:
                yield value
                return


def _says(data: bytes, start: int, size: int) -> bool:
    """Whether what stands before a text gives its size."""
    before = data[max(0, start - 2) : start]
    if not before:
        return False
    return before[-1] in (size, 0xA0 | size & 31 if size < 32 else size, 0x60 | size & 31 if size < 24 else size)


def _text_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Returns where the text stands whose size is written here.

    Upstream: https://github.com/msgpack/msgpack/blob/master/spec.md, https://www.rfc-editor.org/rfc/rfc8949#section-3,
    https://protobuf.dev/programming-guides/encoding/#maps
    """
    if at >= len(data):
        return None
    mark, wide = data[at], {0xD9: 1, 0xC4: 1, 0x78: 1, 0x58: 1, 0xDA: 2, 0xC5: 2, 0x79: 2, 0xDB: 4, 0xC6: 4}
    if mark in wide:
        start = at + 1 + wide[mark]
        size = int.from_bytes(data[at + 1 : start], "big")
    elif 0xA0 <= mark <= 0xBF or 0x60 <= mark <= 0x77 or 0x40 <= mark <= 0x57:
        start, size = at + 1, mark & 31
    elif mark == 0x12:  # the second field of an entry
        size, start = data[at + 1] if at + 1 < len(data) else 0, at + 2
        if size > 127 and start < len(data):
            size, start = (size & 127) | data[start] << 7, start + 1
    else:
        return None
    return (start, start + size) if 2 < size <= _LONGEST and start + size <= len(data) else None
