"""Names the parameters of an SQL statement by the columns they are written to or compared with."""

from __future__ import annotations

import re
from functools import lru_cache

_PLACEHOLDER = (
    r"%\((?P<percent>\w+)\)s|(?P<anonymous>%[sbt]|\?(?!\d))|\$(?P<dollar>\d+)|(?<!:):(?P<colon>\w+)|\?(?P<mark>\d+)"
)
_COMPARED = re.compile(
    r"[\"`\[]?(\w+)[\"`\]]?\s*(?:=|<>|!=|\bLIKE\b|\bILIKE\b|\bIS\b|\bIN\s*\()\s*(?:\w+\s*\(\s*)?$", re.IGNORECASE
)
_TOKEN = re.compile(rf"'(?:[^']|'')*'|[(),]|{_PLACEHOLDER}")
_INSERT = re.compile(r"\b(?:INSERT|REPLACE)\b[^(]*\(([^)]*)\)\s*VALUES\s*", re.IGNORECASE)


@lru_cache(1024)
def names_of_parameters(sql: str) -> dict[str, str]:
    """Returns the column of each parameter; the parameter by name, or by index as text."""
    names: dict[str, str] = {}
    insert = _INSERT.search(sql)
    columns = [part.strip().strip('"`[]') for part in insert[1].split(",")] if insert else []
    depth = column = count = 0
    for token in _TOKEN.finditer(sql):
        inside = insert is not None and token.start() >= insert.end()
        char = token.group()
        if char in "()":
            depth += (1 if char == "(" else -1) * inside
            column = 0 if depth <= 1 and char == "(" else column
            continue
        if char == ",":
            column += inside and depth == 1
            continue
        if char[0] == "'":
            continue
        key = token["percent"] or token["colon"]
        if key is None and (number := token["dollar"] or token["mark"]):
            key = str(int(number) - 1)
        if key is None:
            key, count = str(count), count + 1
        if inside and depth and column < len(columns):
            names[key] = columns[column]
        elif compared := _COMPARED.search(sql, max(0, token.start() - 120), token.start()):
            names[key] = compared[1]
    return names
