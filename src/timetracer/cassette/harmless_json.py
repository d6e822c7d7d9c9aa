"""Tells large JSON in which there is nothing to redact by its raw bytes, so that nobody decodes, walks and prints it.

What the walk of `secret_positions` would act on is looked for among the distinct strings, by searches that find too
much rather than too little; a body that may hold any of it goes the long way. 100 KB of articles: 4 ms instead of 11.
"""

from __future__ import annotations

import re
from itertools import compress

import msgspec

from timetracer.cassette.blobs import MARKS
from timetracer.cassette.secrets_rules import PLAIN, Names, may_hold_a_card

_SYNTAX = msgspec.json.Decoder(msgspec.Raw).decode
_TELLING = re.compile(r"[=@]|: |':|:'|<\\?/")  # what `secret_positions` has; a quote in a string is ' here
_USERINFO = re.compile(r":(?:\\?/){2}[^/\s]*@")
_SPECIAL = frozenset(("params", "rows"))  # and what looks like one of our tags


def harmless(data: bytes, names: Names) -> bool:
    """Whether bytes are JSON that holds no secret, as far as it can be told without decoding them."""
    if data[:1] not in (b"{", b"[") or b"\\u00" in data:
        return False
    try:
        _SYNTAX(data)
        text = data.decode()
    except (ValueError, RecursionError):
        return False
    if "\\" in text:
        text = text.replace("\\\\", " ").replace('\\"', "'")
        data = text.encode()
    strings = text.split('"')[1::2]
    between = data.translate(None, b"0123456789.").split(b'"')[::2]  # few are distinct without their numbers
    distinct = set(between)
    opening = {each for each in distinct if each.rstrip().endswith(b"[")}
    closing = {each for each in distinct if each.lstrip().startswith(b":")}
    called = {
        *compress(strings, map(closing.__contains__, between[1:])),
        *compress(strings, map(opening.__contains__, between)),  # the first of a list may name the second
    }
    if any("\\" in name or name[:1] == "$" or name in _SPECIAL or names[name] != PLAIN for name in called):
        return False
    values = "\n".join({*strings})
    if MARKS.search(values.encode()) or may_hold_a_card(data) or _USERINFO.search(values):
        return False
    if not _TELLING.search(values):
        return True
    telling = "\n".join(filter(_TELLING.search, {*strings})).lower()
    return not any(keyword in telling for keyword in names.keywords)
