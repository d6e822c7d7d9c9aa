"""Looks into what stands as base64 in the midst of a text: JSON in its envelope, gzip, a pickled session."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from timetracer.cassette import blobs
from timetracer.cassette.encoded_parts import decode_base64, opened
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import Names

_CODED = re.compile(r"(?<![\w.])(?:eyJ|W3si|H4sI|gA[SNJW])[\w+/\-]{16,}+={0,2}+(?![\w.])")
"""`{"`, `[{"`, and how gzip and a pickle begin."""
_BEGINS = ("eyJ", "W3si", "H4sI", "gAS", "gAN", "gAJ", "gAW")


class CodedTexts:
    """The base64 texts of one cassette that may hold secrets.

    Args:
        walk: replaces the secrets of JSON data.
    """

    def __init__(self, names: Names, found: Replacements, walk: Callable[[Any], None]) -> None:
        self._names, self._found, self._walk = names, found, walk
        self._coded: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {}

    def look_into(self, strings: str) -> None:
        """Notes the secrets in what is coded in texts."""
        if not any(begins in strings for begins in _BEGINS):  # 15 us less for 700 characters
            return
        for text in _CODED.findall(strings):
            data = decode_base64(text)
            if not data or text in self._coded:
                continue
            plain, pack = opened(data)
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._walk(msgspec.json.decode(plain))
            self._coded[text] = plain, pack

    def replace(self) -> None:
        """Makes what stands for each of them, as soon as all secrets are known."""
        for text, (data, pack) in self._coded.items():
            made = self._found.within(blobs.redacted(data, self._names, self._found))
            if made != data:
                self._found.form(text, self._spelled(text, pack(made)), asked=True)

    @staticmethod
    def _spelled(text: str, data: bytes) -> str:
        made = base64.b64encode(data).decode().rstrip("=") + "=" * text.count("=")
        return made.replace("+", "-").replace("/", "_") if "-" in text or "_" in text else made
