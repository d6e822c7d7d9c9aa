"""Makes what stands for a secret: a random text of the same shape and length."""

from __future__ import annotations

import base64
import json
import re
import secrets
import string

from timetracer.cassette.secrets_rules import PREFIX, is_card, luhn

_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_CLASS = {char: (chars * 26)[:256] for chars in _CLASSES for char in chars}
_HEX_CLASS = _CLASS | {char: (chars * 43)[:256] for chars in ("abcdef", "ABCDEF") for char in chars}
"""What a random byte makes of a character: another one of its class."""
_FIRST = ("123456789" * 29)[:256]
_HEX = re.compile(r"[0-9a-f\-]+|[0-9A-F\-]+")  # a UUID stays one
_MARKS = "!$*-.^~"  # equally long in JSON, and safe in URLs as far as any is
_TIMES = ("exp", "iat", "nbf", "auth_time", "typ", "alg")
_JSON_LEAF = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|(?<=[:,\[\s])-?\d+(?=[,}\]\s])')


def like(secret: str) -> str:
    """Returns a random text of the shape of `secret`: the same length, letters for letters, a JWT for a JWT."""
    if secret.startswith("eyJ") and secret.count(".") == 2 and (token := _jwt(secret)):
        return token
    if secret.startswith("-----BEGIN"):
        parts = re.split(r"(-----[^-]+-----|\\+[nr]|%[0-9A-Fa-f]{2})", secret)  # with every other one left as it is
        return "".join(x if index % 2 else _letters(x) for index, x in enumerate(parts))
    digits = re.sub(r"[ -]", "", secret)
    if digits.isascii() and digits.isdigit() and is_card(digits):
        return _card(secret, digits)
    prefix = PREFIX.match(secret)
    start = prefix.end() if prefix else 0
    return secret[:start] + _letters(secret[start:])


def _letters(text: str) -> str:
    if not text:
        return text
    marks = sum(map(str.isalnum, text)) * 2 < len(text)  # the marks are the secret
    classes = _HEX_CLASS if len(text) >= 16 and _HEX.fullmatch(text) else _CLASS
    noise = secrets.token_bytes(len(text))  # drawn at once: a character at a time took 1.5 us each
    made = [
        classes[char][byte] if char in classes else _other(char, marks) for char, byte in zip(text, noise, strict=True)
    ]
    if text[0] in "123456789":  # a number must not begin with 0
        made[0] = _FIRST[noise[0]]
    return "".join(made)


def _other(char: str, marks: bool) -> str:
    if char < "\x80":
        return secrets.choice(_MARKS) if marks and char.isprintable() and char not in '"\\/ ' else char
    if not char.isalnum() and not marks:
        return char
    size = len(char.encode("utf-8", "surrogatepass"))  # as many bytes, so that Content-Length stays true
    if size == 2:
        return chr(secrets.choice(range(0xE0, 0xF6)))
    return chr(secrets.choice(range(0x4E00, 0x9FA5) if size == 3 else range(0x20000, 0x2A000)))


def _card(secret: str, digits: str) -> str:
    middle = "".join(secrets.choice(string.digits) for _ in digits[6:-1])
    made = iter(digits[:6] + middle + luhn(digits[:6] + middle))
    return "".join(next(made) if char.isdigit() else char for char in secret)


def _jwt(secret: str) -> str | None:
    head, payload, signature = secret.split(".")
    try:
        text = base64.urlsafe_b64decode(payload + "==").decode()
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    times = [found.span(1) for found in re.finditer(rf'"(?:{"|".join(_TIMES)})"\s*:\s*(-?\d+|"[^"]*")', text)]

    def leaf(found: re.Match[str]) -> str:
        if found[2] or "\\" in found.group() or any(start <= found.start() < end for start, end in times):
            return found.group()
        return _letters(found.group()) if found[1] is None else f'"{_letters(found[1])}"'

    made = base64.urlsafe_b64encode(_JSON_LEAF.sub(leaf, text).encode()).decode().rstrip("=")
    return f"{head}.{made}.{_letters(signature)}"
