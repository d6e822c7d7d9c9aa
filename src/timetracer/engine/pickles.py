"""Pickles in a question: laid open for matching, the times in them left out.

Upstream: what is not a number is pickled by Django's caches, a throttle's history and a cached model among it
(https://github.com/django/django/blob/5.2/django/core/cache/backends/redis.py).
"""

from __future__ import annotations

import base64
import binascii
import re

_PICKLE = re.compile(r'"(gA[I-X][A-Za-z0-9+/]{8,}=*)"')  # protocols 2 to 5, as base64 shows them
_TIME = re.compile(
    rb"G\x41[\xd0-\xdf][\s\S]{6}"  # BINFLOAT: seconds since the epoch, of 2004 to 2038
    rb"|C\n\x07[\xb2-\xff][\x01-\x0c][\x01-\x1f][\x00-\x17][\x00-\x3b]{2}[\s\S]{3}"  # the state of a datetime
)


def laid_open(text: str) -> str:
    """Returns a question with its pickles as text, the times in them left out."""
    return _PICKLE.sub(_opened, text) if '"gA' in text else text


def _opened(found: re.Match[str]) -> str:
    try:
        data = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return found[0]
    return f'"{_TIME.sub(b"*time*", data).decode("latin-1")}"'
