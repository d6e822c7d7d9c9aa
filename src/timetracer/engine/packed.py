"""Packed values in a question, pickles and MessagePack: laid open for matching, the times in them left out.

Upstream: what is not a number is pickled by Django's caches, a throttle's history and a cached model among it
(https://github.com/django/django/blob/5.2/django/core/cache/backends/redis.py); Flask-Session packs a session
(https://github.com/pallets-eco/flask-session/blob/0.8.0/src/flask_session/base.py).
"""

from __future__ import annotations

import base64
import binascii
import re

_PACKED = re.compile(
    r'"(gA[I-X][A-Za-z0-9+/]{8,}=*)"'  # pickles of protocols 2 to 5, as base64 shows them
    r'|(?<="\$base64":)"([g-n3][A-Za-z0-9+/]+=*)"'  # bytes that begin as MessagePack's maps and arrays do
)
_TIME = re.compile(
    rb"[G\xcb]\x41[\xd0-\xdf][\s\S]{6}"  # BINFLOAT, float 64: seconds since the epoch, of 2004 to 2038
    rb"|C\n\x07[\xb2-\xff][\x01-\x0c][\x01-\x1f][\x00-\x17][\x00-\x3b]{2}[\s\S]{3}"  # the state of a datetime
    # MessagePack's timestamps of these years: https://github.com/msgpack/msgpack/blob/master/spec.md
    rb"|\xd6\xff[\x40-\x7f][\s\S]{3}|\xd7\xff[\s\S]{4}[\x40-\x7f][\s\S]{3}"
)


def laid_open(text: str) -> str:
    """Returns a question with what is packed in it as text, the times in that left out."""
    return _PACKED.sub(_opened, text) if '"gA' in text or '"$base64"' in text else text


def _opened(found: re.Match[str]) -> str:
    try:
        data = base64.b64decode(found[1] or found[2], validate=True)
    except binascii.Error:
        return found[0]
    return f'"{_TIME.sub(b"*time*", data).decode("latin-1")}"'
