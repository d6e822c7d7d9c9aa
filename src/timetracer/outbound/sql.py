"""Says what a SQL statement asks, whatever was generated into its text, and whether it only steers a transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache

from timetracer.plugin import Value

_compiled = cache(re.compile)  # with the first statement that needs it: no part of the start, where it took 1.4 ms
_TOKENS = (
    r"""(?P<kept> '(?:[^']|'')*' | `[^`]*` | \[[^\]\s]*\] | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) )
      | (?P<name> "(?:[^"]|"")*" )
      | (?P<gap> (?: \s | --[^\n]* | /\*.*?\*/ )+ )
      | (?P<word> (?<!\w) s\d+_x\d+ \b )""",
    re.VERBOSE | re.DOTALL,
)
_GENERATED = (
    # Django: a savepoint is named by thread and counter, a server-side cursor by thread, task and counter.
    # https://github.com/django/django/blob/5.2/django/db/backends/base/base.py#L657
    # https://github.com/django/django/blob/5.2/django/db/backends/postgresql/base.py#L424
    (r'"?s\d+_x\d+"?', '"s_x"'),
    (r'"_django_curs_\w+"', '"_django_curs"'),
    # SQLAlchemy: a server-side cursor is named by its memory address.
    # https://github.com/sqlalchemy/sqlalchemy/blob/rel_2_0_36/lib/sqlalchemy/engine/default.py#L1575
    (r'"c_[0-9a-f]+_[0-9a-f]+"', '"c_"'),
)
_STEERING = {
    "BEGIN": "BEGIN",
    "START": "START TRANSACTION",
    "COMMIT": "COMMIT",
    "END": "COMMIT",
    "ROLLBACK": "ROLLBACK",
    "ABORT": "ROLLBACK",
    "SAVEPOINT": "SAVEPOINT",
    "RELEASE": "RELEASE",
}
# ORMs draw these from sets, whose order differs from process to process; it means nothing to the database.
_LITERAL = r"(?:'(?:[^']|'')*'|-?\d+(?:\.\d+)?)"
_LITERALS = rf"(?<= IN \(){_LITERAL}(?:, ?{_LITERAL})+(?=\))"
_TRUNCATED = r'(?<= )"[^"]+"(?:, "[^"]+")+'
_MARKS = (
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*"
      | (?<=\ IN\ \() (?P<list> \? (?:,\ ?\?)+ | \$\d+ (?:,\ ?\$\d+)+ ) (?=\))
      | (?P<mark> \? )""",
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z]+")
CACHED_LENGTH = 8192
"""Longer statements are analysed each time."""


def canonical(sql: str) -> str:
    """Returns the statement without comments, with single blanks and with generated names made equal."""
    return _canonical_cached(sql) if len(sql) <= CACHED_LENGTH else _canonical(sql)


def verb(sql: str) -> str:
    """Returns the first word of a canonical statement in capitals."""
    found = _WORD.search(sql, 0, 64)
    return found[0].upper() if found else ""


def steering(sql: str) -> str | None:
    """Returns the command tag if the canonical statement only steers a transaction, which nobody's data depends on."""
    return _STEERING.get(verb(sql))


def ends_transaction(sql: str) -> bool:
    """Tells whether the canonical statement is a COMMIT or ROLLBACK of the whole transaction."""
    return steering(sql) in ("COMMIT", "ROLLBACK") and " to " not in f"{sql} ".lower()


def statement(sql: str, params: Value, **more: Value) -> Mapping[str, Value]:
    """Returns the compared fields of a canonical statement: text and parameters, those of `IN (...)` sorted."""
    if type(params) is list and " IN (" in sql:
        params = list(params)
        for places in _lists(sql):
            if places[-1] < len(params):
                found = sorted((params[each] for each in places), key=_order)
                for place, value in zip(places, found, strict=True):
                    params[place] = value
    return {"sql": sql, "params": params, **more}


def _order(value: Value) -> tuple[str, str]:
    return type(value).__name__, repr(value)


@lru_cache(maxsize=512)
def _lists(sql: str) -> tuple[tuple[int, ...], ...]:
    """Returns the places of the parameters in each `IN (?, ?)` or `IN ($1, $2)`."""
    lists: list[tuple[int, ...]] = []
    count = 0
    for found in _compiled(*_MARKS).finditer(sql):
        if found["mark"]:
            count += 1
        elif found["list"]:
            marks = found["list"].replace(" ", "").split(",")
            if marks[0] == "?":
                lists.append(tuple(range(count, count + len(marks))))
                count += len(marks)
            else:
                lists.append(tuple(sorted(int(mark[1:]) - 1 for mark in marks)))
    return tuple(lists)


def _canonical(sql: str) -> str:
    text = _compiled(*_TOKENS).sub(_folded, sql).strip().rstrip("; ")
    if " IN (" in text:
        return _compiled(_LITERALS).sub(_sorted, text)
    return _compiled(_TRUNCATED).sub(_sorted_names, text) if text[:9].upper() == "TRUNCATE " else text


_canonical_cached: Callable[[str], str] = lru_cache(maxsize=2048)(_canonical)


def _sorted(found: re.Match[str]) -> str:
    return ", ".join(sorted(_compiled(_LITERAL).findall(found[0])))


def _sorted_names(found: re.Match[str]) -> str:
    return ", ".join(sorted(found[0].split(", ")))


def _folded(found: re.Match[str]) -> str:
    if found["gap"] is not None:
        return " "
    text: str = found[0]
    if found["kept"] is not None:
        return text
    for pattern, name in _GENERATED:
        if _compiled(pattern).fullmatch(text):
            return name
    return text
