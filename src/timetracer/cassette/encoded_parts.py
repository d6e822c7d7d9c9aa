"""Looks inside encoded values: tags, column names, base64 and what is compressed in it."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Callable
from typing import Any

_GZIP = b"\x1f\x8b"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_BOMS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0", "utf-32-be": b"\0\0\xfe\xff"}
_ZEROS = {
    "utf-16-le": (1, 3, 5, 7),
    "utf-16-be": (0, 2, 4, 6),
    "utf-32-le": (1, 2, 3, 5, 6, 7),
    "utf-32-be": (0, 1, 2, 4, 5, 6),
}
"""Which of the first eight bytes are zero, where the text begins with ASCII."""
_INFLATED = 64 << 20  # what grows beyond this is left compressed


def content(value: Any) -> Any:
    """Returns the list or dict inside a tag (`$tuple`)."""
    if isinstance(value, dict) and len(value) == 1:
        ((tag, inner),) = value.items()
        if tag.startswith("$") and isinstance(inner, list | dict):
            return inner
    return value


def plain(value: Any) -> str | None:
    """Returns a text, or the text in a tag (`$bytes`)."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("$bytes", value.get("$str"))
    return value if isinstance(value, str) else None


def columns_of(node: dict[str, Any]) -> list[str]:
    """Returns the column names of `{"columns": ..., "rows": ...}`, each given as a name, or first in a list."""
    columns = content(node.get("columns"))
    names = []
    for column in columns if isinstance(columns, list) else ():
        inner = content(column)
        if isinstance(inner, list):
            inner = inner[0] if inner else None
        elif isinstance(inner, dict):
            inner = inner.get("name", inner)
        names.append(plain(inner) or "")
    return names


def decode_base64(text: str) -> bytes | None:
    """Returns the bytes of a base64 text in either alphabet, padded or not; None if it is none."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def opened(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Returns what bytes hold in a form to look into, and what brings it back into their form.

    Gzip and zlib are taken off, UTF-16 and UTF-32 become UTF-8; other bytes, and what would not come back, stay as
    they are.
    """
    try:
        if data[:2] == _GZIP:
            return _members(data)
        if data[:1] == b"\x78":
            inflater = zlib.decompressobj()
            plain = inflater.decompress(data, _INFLATED)
            return (plain, zlib.compress) if inflater.eof and not inflater.unused_data else (data, bytes)
    except zlib.error:
        return data, bytes
    return _as_utf8(data, wide) if (wide := is_wide(data)) else (data, bytes)


def _members(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Gzip of one member or more: written again, it is one, which holds the same."""
    parts, size, rest = [], 0, data
    while rest:
        inflater = zlib.decompressobj(31)
        parts.append(inflater.decompress(rest, _INFLATED - size))
        size += len(parts[-1])
        rest = inflater.unused_data
        if not inflater.eof or (rest and rest[:2] != _GZIP) or size >= _INFLATED:
            return data, bytes
    return b"".join(parts), lambda made: gzip.compress(made, mtime=0)


def is_opaque(data: bytes) -> bool:
    """Whether these bytes show what they hold only when `opened`."""
    return data[:2] == _GZIP or data[:2] in _ZLIB or is_wide(data) is not None


def is_wide(data: bytes) -> str | None:
    """Names the encoding of text that has more than one byte a character, as its first bytes tell; else None."""
    first = data[:8]
    if len(first) < 8 or b"\0" not in first:
        return None
    for name, zeros in _ZEROS.items():
        if all((first[index] == 0) == (index in zeros) for index in range(2, 8)) and (
            first.startswith(_BOMS[name]) or all((first[index] == 0) == (index in zeros) for index in range(2))
        ):
            return name
    return None


def _as_utf8(data: bytes, wide: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    try:
        plain = data.decode(wide)
        back: Callable[[bytes], bytes] = lambda made: made.decode().encode(wide)  # noqa: E731
        return (plain.encode(), back) if plain.encode(wide) == data else (data, bytes)
    except UnicodeError:
        return data, bytes
