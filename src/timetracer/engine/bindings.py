"""Bound values: which live value stands for which recorded one, put in place in text, data and bytes."""

from __future__ import annotations

import re
from typing import Any

CONTROL = r"(?<=\\[bfnrt])|(?<=\\u00[01][0-9a-f])"
"""After a control character as JSON writes it: its letter is no part of the word that follows."""


def _token(begin: str) -> re.Pattern[str]:
    uuid = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    time = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:Z|[+-]\d\d:?\d\d)\b)?"
    of_http = r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\b"
    return re.compile(rf"(?P<id>{begin}{uuid}\b|{begin}[0-9a-f]{{32}}\b)|(?P<time>{begin}{time}|{of_http})")


TOKEN = _token(r"\b")
"""What is made anew in each run and known by its shape: ids and times, as ISO and as HTTP write them."""
TOKEN_IN_JSON = _token(rf"(?:\b|{CONTROL})")
"""The same in JSON's spelling; takes twice as long."""
SIGNED = re.compile(r"(?<=:)[0-9A-Za-z]{6}:[0-9A-Za-z_-]{43}(?![0-9A-Za-z_-])")
"""A time in seconds with the signature over it and what stands before it, as Django signs sessions and cookies.

Upstream: `TimestampSigner.sign` (https://github.com/django/django/blob/5.2/django/core/signing.py).
"""


def swap(text: str, table: dict[str, str]) -> str:
    """Replaces every value of `table` that occurs in `text`: ids by their shape, others wherever they stand."""
    if len(table) <= 8:
        for old, new in table.items():
            if old in text:
                text = text.replace(old, new)
        return text
    text = TOKEN.sub(lambda m: table.get(m[0], m[0]), text)
    for old, new in table.items():
        if len(old) not in (32, 36) and old in text:
            text = text.replace(old, new)
    return text


def swap_data(data: Any, table: dict[str, str]) -> Any:
    """Replaces values in encoded data: every string of it, keys included."""
    if isinstance(data, str):
        return swap(data, table)
    if isinstance(data, list):
        return [swap_data(v, table) for v in data]
    if isinstance(data, dict):
        return {swap(k, table): swap_data(v, table) for k, v in data.items()}
    return data


def swap_bytes(data: bytes, table: dict[str, str]) -> bytes:
    """Replaces values in bytes."""
    for old, new in table.items():
        raw = old.encode("utf-8", "surrogateescape")
        if raw in data:
            data = data.replace(raw, new.encode("utf-8", "surrogateescape"))
    return data
