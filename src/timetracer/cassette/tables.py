"""Finds secrets in tables of text (CSV, TSV), by the heads of their columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import PLAIN

_HEAD = re.compile(r"\"?[\w.\-]+(?: [\w.\-]+)*\"?")
_LONG = 5_000  # no line of heads is longer


def without_secrets(text: str, kind: Callable[[str], int], found: Replacements) -> str:
    """Returns a table with its secret columns replaced; any other text as it is."""
    end = text.find("\n", 0, _LONG)
    if end < 0:
        return text
    head = text[:end].rstrip("\r")
    separator = next((mark for mark in "\t,;" if mark in head), "")
    heads = head.split(separator) if separator else []
    if not heads or not all(map(_HEAD.fullmatch, heads)):
        return text
    secret = [index for index, name in enumerate(heads) if kind(name) != PLAIN]
    return text[: end + 1] + rows(text[end + 1 :], secret, len(heads), separator, found) if secret else text


def rows(text: str, secret: Iterable[int], columns: int, separator: str, found: Replacements) -> str:
    """Returns lines of fields with some columns replaced; lines of another number of fields stay."""
    field = re.compile(rf"(\"(?:[^\"]|\"\")*\"(?={separator}|$)|[^{separator}]*)(?:{separator}|$)")
    lines = text.split("\n")
    for number, line in enumerate(lines):
        bare = line.rstrip("\r")
        places = [part.span(1) for part in field.finditer(bare)][: bare.count(separator) + 1]
        if len(places) < columns:
            continue
        for index in sorted(secret, reverse=True):
            start, end = places[index]
            if bare[start : start + 1] == '"' and end - start > 1:
                start, end = start + 1, end - 1
            if bare[start:end] not in ("", "\\N"):
                line = line[:start] + found.put(bare[start:end]) + line[end:]
        lines[number] = line
    return "\n".join(lines)
