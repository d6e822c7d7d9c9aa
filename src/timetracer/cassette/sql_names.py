"""Names the values of an SQL statement, parameters and literals, by what they are written to or compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from timetracer.cassette.sql_tokens import CLOSE, COMMA, LITERAL, NAME, OPERATOR, PARAMETER, Token, tokens

_COMPARING = frozenset(("like", "ilike", "is", "in", "between", "regexp", "similar", "to", "default"))
_CLAUSES = frozenset(  # what follows has to do with another column
    [
        "and",
        "or",
        "where",
        "from",
        "returning",
        "on",
        "set",
        "order",
        "group",
        "having",
        "limit",
        "using",
        "join",
        "values",
        "union",
        "offset",
        "for",
        "with",
    ]
)
_NO_NAMES = frozenset(
    [
        "and",
        "not",
        "null",
        "distinct",
        "all",
        "any",
        "some",
        "array",
        "case",
        "end",
        "select",
        "exists",
        "current",
        "row",
        "user",
        "e",
        "n",
        "b",
        "u",
        "x",
    ]
)
_ARGUMENTS = {  # functions that take a secret, by the place of it
    "crypt": 0,
    "pgp_sym_encrypt": 1,
    "pgp_sym_decrypt": 1,
    "pgp_sym_encrypt_bytea": 1,
    "pgp_sym_decrypt_bytea": 1,
    "encrypt": 1,
    "decrypt": 1,
    "hmac": 1,
    "aes_encrypt": 1,
    "aes_decrypt": 1,
    "password": 0,
    "old_password": 0,
}
_SET_PASSWORD = re.compile(r"\s*SET\s+PASSWORD\b", re.IGNORECASE)
_ALIAS = re.compile(r"[\"`\[]?(\w+)[\"`\]]?\s+AS\s+[\"`\[]?(\w+)", re.IGNORECASE)
_DEEP = 40
_LONG = 10_000


class Value(msgspec.Struct, frozen=True):
    """A literal (`start` to `end`, quotes left out) or a parameter (`key`: its name, or its index as text)."""

    name: str
    start: int
    end: int
    key: str | None = None


class _Group(msgspec.Struct, eq=False):
    """What stands between brackets, cut at its commas."""

    elements: list[list[Token | _Group]] = msgspec.field(default_factory=lambda: [[]])

    def columns(self) -> list[str] | None:
        """Returns the names in a list of nothing but names."""
        names = []
        for element in self.elements:
            if not element or any(isinstance(node, _Group) or node.kind != NAME for node in element):
                return None
            names.append(element[-1].text)  # type: ignore[union-attr]
        return names


def names_of_parameters(sql: str) -> dict[str, str]:
    """Returns the column of each parameter; the parameter by name, or by index as text."""
    return {value.key: value.name for value in values(sql) if value.key is not None}


def aliases(sql: str) -> dict[str, str]:
    """Returns what the columns of a result are otherwise called: by alias."""
    return {alias: name for name, alias in _ALIAS.findall(sql)}


def values(sql: str) -> tuple[Value, ...]:
    """Returns the literals and parameters of a statement that something names."""
    return _kept(sql) if len(sql) < _LONG else _values(sql)


def _values(sql: str) -> tuple[Value, ...]:
    if sql.lstrip()[:7].upper() == "COMMENT":  # ON COLUMN users.password IS 'what it is for'
        return ()
    walk = _Walk("password" if _SET_PASSWORD.match(sql) else "")
    walk.level(_tree(sql), "")
    return tuple(walk.found)


_kept = lru_cache(1024)(_values)  # an application asks the same again and again


def _tree(sql: str) -> _Group:
    stack = [_Group()]
    for token in tokens(sql):
        if token.kind == COMMA:
            stack[-1].elements.append([])
        elif token.kind == CLOSE:
            if len(stack) > 1:
                stack.pop()
        elif token.text in ("(", "["):
            group = _Group()
            stack[-1].elements[-1].append(group)
            if len(stack) < _DEEP:
                stack.append(group)
        else:
            stack[-1].elements[-1].append(token)
    return stack[0]


class _Walk:
    """Goes over a statement and names its values."""

    def __init__(self, default: str) -> None:
        self.found: list[Value] = []
        self._default = default  # what a comparison with no column is about

    def level(self, group: _Group, subject: str, columns: list[str] | None = None) -> None:
        """Names what a group holds.

        Args:
            subject: the column that all of it is compared with.
            columns: those that its elements are compared with, one by one.
        """
        inner: list[str] | None = None  # the columns listed at this level
        first = 0
        for index, element in enumerate(group.elements):
            about = subject
            if columns is not None and len(columns) == len(group.elements):
                about = columns[index]
            elif inner and first and index - first + 1 < len(inner):
                about = inner[index - first + 1]
            inner, selected = self._element(element, about, inner, columns)
            first = index + 1 if selected else first

    def _element(
        self, element: list[Token | _Group], about: str, inner: list[str] | None, rows: list[str] | None
    ) -> tuple[list[str] | None, bool]:
        subject, case, last, selected = about, about, "", False
        before: Token | _Group | None = None
        for index, node in enumerate(element):
            follows = element[index + 1] if index + 1 < len(element) else None
            if isinstance(node, _Group):
                listed = node.columns()
                if listed and not isinstance(follows, _Group) and self._is_a_row_of_names(before, follows):
                    inner = listed
                elif rows is not None or (inner and self._takes_a_row(before)):
                    self._rows(node, rows or inner or [], subject)
                else:
                    self._call(node, before, subject)
            elif node.kind == NAME:
                word = node.text.lower()
                if word == "select" and inner:
                    subject, selected = inner[0], True
                elif word == "case":
                    case = subject
                elif word in ("then", "else", "end"):
                    subject = case
                elif word in _COMPARING:
                    subject = last or subject
                elif word == "as" and isinstance(before, Token) and before.kind in (LITERAL, PARAMETER):
                    self._backwards(before, follows)
                elif word in _CLAUSES and not (word == "and" and self._is_between(element, index)):
                    subject = about
                elif word not in _NO_NAMES:
                    last = word
            elif node.kind == OPERATOR and node.text[-1:] == ">" and node.text[0] in "-#":
                pass  # into JSON: what follows is the name
            elif node.kind == OPERATOR:
                if isinstance(before, _Group) and (argument := before.columns()) is not None:  # lower(token) = 'x'
                    last = argument[0]
                subject = last or subject or self._default
                if not isinstance(before, _Group) and before is not None and before.kind in (LITERAL, PARAMETER):
                    self._backwards(before, follows)
            elif node.kind == LITERAL and isinstance(before, Token) and before.text in ("->", "->>", "#>", "#>>"):
                last = node.text.strip("{}")
            else:
                named = isinstance(before, Token) and before.kind == NAME and before.text.lower()
                self._value(node, self._directly(named, last, element, index) or subject)
            before = node
        return inner, selected

    def _value(self, token: Token, name: str) -> None:
        if name:
            self.found.append(Value(name, token.start, token.end, token.key))

    @staticmethod
    def _directly(named: str | bool, last: str, element: list[Token | _Group], index: int) -> str:
        """Returns the name right before a value: `PASSWORD 'x'`, `IDENTIFIED BY 'x'`."""
        if not named or not isinstance(named, str):
            return ""
        if named == "by":
            told = any(isinstance(node, Token) and node.text.lower() == "identified" for node in element[:index])
            return "password" if told else ""
        return named if named == last else ""

    def _backwards(self, token: Token, follows: Token | _Group | None) -> None:
        if isinstance(follows, Token) and follows.kind == NAME:
            self._value(token, follows.text)

    def _call(self, group: _Group, before: Token | _Group | None, subject: str) -> None:
        name = before.text.lower() if isinstance(before, Token) and before.kind == NAME else ""
        place = _ARGUMENTS.get(name)
        if name == "set_config" and len(group.elements) > 1:
            told = group.elements[0][0] if group.elements[0] else None
            place, subject = 1, told.text.strip("'") if isinstance(told, Token) else ""
        elif place is not None:
            subject = "password"
        if place is None:
            self.level(group, subject)
        elif place < len(group.elements):
            self.level(_Group([group.elements[place]]), subject)

    def _rows(self, group: _Group, columns: list[str], subject: str) -> None:
        nested = [node for element in group.elements for node in element if isinstance(node, _Group)]
        heads = {node.text.lower() for element in group.elements for node in element if isinstance(node, Token)}
        if nested and heads <= {"values"}:  # ((1, 'x'), (2, 'y')), (VALUES (1, 'x'))
            for node in nested:
                self.level(node, "", columns)
        else:
            self.level(group, subject, columns)

    @staticmethod
    def _is_a_row_of_names(before: Token | _Group | None, follows: Token | _Group | None) -> bool:
        if isinstance(follows, Token) and (
            follows.kind == OPERATOR or follows.text.lower() in ("values", "select", "in", "from", "overriding", "not")
        ):
            return not (isinstance(before, Token) and before.text.lower() in ("values", "in", "any"))
        return False

    @staticmethod
    def _takes_a_row(before: Token | _Group | None) -> bool:
        return before is None or (
            isinstance(before, Token) and (before.kind == OPERATOR or before.text.lower() in ("values", "in", "row"))
        )

    @staticmethod
    def _is_between(element: list[Token | _Group], index: int) -> bool:
        back: Iterator[Token | _Group] = reversed(element[max(0, index - 3) : index])
        return any(isinstance(node, Token) and node.text.lower() == "between" for node in back)
