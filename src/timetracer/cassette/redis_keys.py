"""Finds secrets in redis keys: the ids of sessions and tokens that keys are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from timetracer.cassette.credential_headers import opaque
from timetracer.cassette.encoded_parts import content
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import BUNDLE, SECRET

_SEPARATOR = re.compile(r"([:/|])")
_DJANGO_SESSION = re.compile(r"(?<=django\.contrib\.sessions\.)(?:cached_db|cache)([a-z0-9]{16,})")


class Keys:
    """The keys of one cassette. A cache is asked for few keys many times: each is looked at once."""

    def __init__(self, kind: Callable[[str], int], names: Mapping[str, int], found: Replacements) -> None:
        self._kind, self._names, self._found = kind, names, found
        self._keep: dict[str, bool] = {}
        self._clean: dict[str, str] = {}

    def keep_a_secret(self, key: str) -> bool:
        """Tells whether what is kept under this key is a secret."""
        if key not in self._keep:
            self._keep[key] = keeps_a_secret(key, self._names)
        return self._keep[key]

    def without_secrets(self, key: str) -> str:
        """Returns a key with its secrets replaced."""
        if key not in self._clean:
            self._clean[key] = without_secrets(key, self._kind, self._found)
        return self._clean[key]


def keeps_a_secret(key: str, names: Mapping[str, int]) -> bool:
    """Tells whether what is kept under this key is a secret (`user:7:otp`, `otp:7`), a session's content aside."""
    parts = _SEPARATOR.split(key)[-3::2]
    return any(names[part] in (SECRET, BUNDLE) and "session" not in part.lower() for part in parts) and " " not in key


def without_secrets(key: str, kind: Callable[[str], int], found: Replacements) -> str:
    """Returns a key with the opaque part replaced that follows a secret name."""
    for match in _DJANGO_SESSION.finditer(key) if "django" in key else ():
        key = key.replace(match[1], found.put(match[1]))
    parts = _SEPARATOR.split(key)
    for index, part in enumerate(parts[:-2]):
        if (kind(part) or kind(part.rstrip("s"))) and opaque(parts[index + 2]):
            parts[index + 2] = found.put(parts[index + 2])
    return "".join(parts)


def asked(fields: Mapping[str, Any]) -> list[Any]:
    """Returns the arguments of a command, as its event's fields hold them."""
    lists = (content(values) for values in fields.values())
    return next((values for values in lists if isinstance(values, list)), [])
