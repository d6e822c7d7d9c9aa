"""Replaces what is secret in cookies and in Authorization headers, and leaves the rest of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from timetracer.cassette.encoded_parts import decode_base64
from timetracer.cassette.replacements import Replacements

_ATTRIBUTES = frozenset(
    ("path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "version", "priority")
)
_SCHEME = re.compile(r"([A-Za-z][\w\-]*) +(.+)", re.DOTALL)
_SIGNED = re.compile(r"\b(?:\w*_)?(?:response|[Ss]ignature|mac|token)=\"?([^\",\s]+)")
_RUN = re.compile(r"[\w+/\-.~%]+={0,2}(?![\w=])")


def cookies(header: str, secret: Callable[[str], bool], found: Replacements) -> str:
    """Returns a Cookie or Set-Cookie header with the secret values replaced: those named so, and opaque ones.

    A list of protocols (browsers send tokens to websockets so) is looked through for opaque ones.
    """
    if "=" not in header:
        return ",".join(
            part.replace(bare, found.put(bare)) if opaque(bare := part.strip()) else part for part in header.split(",")
        )
    parts = header.split(";")
    for index, part in enumerate(parts):
        name, equals, value = part.partition("=")
        bare = value.strip().strip('"')
        if equals and name.strip().lower() not in _ATTRIBUTES and (secret(name.strip()) or opaque(bare)):
            parts[index] = f"{name}={value.replace(bare, found.put_encoded(bare))}" if bare else part
    return ";".join(parts)


def credentials(header: str, found: Replacements) -> str:
    """Returns an Authorization header with its credentials replaced; the scheme, the user and parameters stay."""
    match = _SCHEME.fullmatch(header)
    if match is None:
        return found.put(header)
    scheme, rest = match.groups()
    if scheme.lower() == "basic" and b":" in (data := decode_base64(rest.strip()) or b""):
        user, _, password = data.decode("latin-1").partition(":")
        if opaque(user) and "@" not in user:  # a token: the password is none, or says so (`x-oauth-basic`)
            user = found.put(user)
        made = f"{user}:{found.put(password)}"
        return f"{scheme} {found.form(rest, base64.b64encode(made.encode('latin-1', 'replace')).decode())}"
    if "=" in rest.rstrip("="):  # parameters: Digest, AWS4-HMAC-SHA256
        return header.replace(rest, _SIGNED.sub(lambda part: part[0].replace(part[1], found.put(part[1])), rest))
    return f"{scheme} {found.put(rest)}"


def opaque_parts(text: str, found: Replacements) -> str:
    """Returns a text with what is made for machines replaced: of `sha256=<hex>` and `t=1,v1=<hex>` the digests."""
    return _RUN.sub(lambda run: found.put_encoded(run[0]) if opaque(run[0]) else run[0], text)


def opaque(text: str) -> bool:
    """Tells whether a text is made for machines: long, with digits among its letters."""
    return len(text) >= 12 and any(x.isdigit() for x in text) and any(x.isalpha() for x in text) and " " not in text
