"""Looks inside encoded values: tags, column names, base64 and what is compressed in it."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Callable
from typing import Any

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


def inflate(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Returns what gzip or zlib compressed, and what compresses it again; other bytes as they are."""
    try:
        if data[:2] == b"\x1f\x8b":
            inflater, pack = zlib.decompressobj(31), lambda made: gzip.compress(made, mtime=0)
        elif data[:1] == b"\x78":
            inflater, pack = zlib.decompressobj(), zlib.compress
        else:
            return data, bytes
        plain = inflater.decompress(data, _INFLATED)
        return (plain, pack) if inflater.eof else (data, bytes)
    except zlib.error:
        return data, bytes
