"""Cuts an SQL statement into names, values and marks, of whatever dialect."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

NAME, LITERAL, PARAMETER, OPERATOR, COMMA, OPEN, CLOSE = range(7)

_TOKEN = re.compile(
    r"(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z)|::\s*\"?\w+\"?(?:\s*\[\])*)"
    r"|(?P<escaping>\b[eE]'(?P<e>(?:[^'\\]|''|\\.)*)')"
    r"|(?:\b(?:[nNbBxX]|[uU]&))?'(?P<plain>(?:[^']|'')*)'"
    r"|\$(?P<tag>[A-Za-z_]*)\$(?P<dollared>.*?)\$(?P=tag)\$"
    r"|\b0[xX](?P<hex>[0-9a-fA-F]+)\b"
    r"|%\((?P<percent>\w+)\)s|(?P<anonymous>%[sbt](?!\w)|\?(?!\d))|\$(?P<dollar>\d+)|(?<!:):(?P<colon>\w+)|\?(?P<mark>\d+)"
    r"|\"(?P<quoted>[^\"]*)\"|`(?P<back>[^`]*)`|\[(?P<bracket>[A-Za-z_][\w ]*)\]|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<operator>[-#]>>?|<=>|[<>!:]?=|<>|[<>]|!?~~?\*?)|(?P<comma>,)|(?P<open>[(\[])|(?P<close>[)\]])|(?P<other>.)",
    re.DOTALL,
)


class Token(msgspec.Struct, frozen=True):
    """One token; `start` and `end` of a literal leave its quotes out; `key` is a parameter's name or index."""

    kind: int
    text: str
    start: int
    end: int
    key: str | None = None


_LITERALS = frozenset(("e", "plain", "dollared", "hex", "number"))
_NAMES = frozenset(("quoted", "back", "bracket", "name"))


def tokens(sql: str) -> Iterator[Token]:
    """Yields the tokens of a statement, without comments and casts."""
    count = 0
    for found in _TOKEN.finditer(sql):
        group = found.lastgroup or ""
        if group in ("skip", "other"):
            continue
        if group == "escaping":
            group = "e"
        if group in _LITERALS:
            yield Token(LITERAL, found[group], *found.span(group))
        elif group in _NAMES:
            yield Token(NAME, found[group], *found.span(group))
        elif group == "operator":
            yield Token(OPERATOR, found.group(), *found.span())
        elif group in ("comma", "open", "close"):
            kind = {"comma": COMMA, "open": OPEN, "close": CLOSE}[group]
            yield Token(kind, found.group(), *found.span())
        else:
            key = found["percent"] or found["colon"]
            if key is None and (number := found["dollar"] or found["mark"]):
                key = str(int(number) - 1)
            if key is None:
                key, count = str(count), count + 1
            yield Token(PARAMETER, found.group(), *found.span(), key)
