"""Replaces secrets in running text, where a name stands before each: URLs, SQL, log lines, forms, HTML."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from timetracer.cassette import blobs
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import Names
from timetracer.cassette.text_secrets import named

_END = "\n\0\n"  # ends each text where they are searched together: no value or white space reaches over it


class RunningTexts:
    """Texts that may name a secret, each once with all its places: most come again and again."""

    def __init__(self) -> None:
        self._places: dict[str, list[tuple[Any, Any]]] = {}

    def add(self, text: str, box: Any, key: Any) -> None:
        """Takes a text, and where it stands: in a mapping, a list or a struct."""
        self._places.setdefault(text, []).append((box, key))

    def replace(self, names: Names, found: Replacements) -> None:
        """Replaces what is secret in them, at all their places."""
        texts = list(self._places)
        if not texts:
            return
        starts, size = [], 0
        for text in texts:
            starts.append(size)
            size += len(text) + len(_END)
        edits: dict[int, list[tuple[int, int]]] = {}
        for start, end in named(_END.join(texts), names):
            at = bisect_right(starts, start) - 1
            edits.setdefault(at, []).append((start - starts[at], min(end - starts[at], len(texts[at]))))
        for at, spans in edits.items():
            text, done, made = texts[at], 0, ""
            for start, end in sorted(spans):
                if start >= done:
                    made += text[done:start] + found.put_encoded(text[start:end])
                    done = end
            for box, key in self._places[text]:
                blobs.put(box, key, made + text[done:])
