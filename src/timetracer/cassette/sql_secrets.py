"""Replaces the secrets of SQL statements: literals within them, parameters, rows by the names of their columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timetracer.cassette.encoded_parts import content
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import PLAIN, Names
from timetracer.cassette.sql_names import names_of_parameters, values

_FUNCTIONS = ("crypt", "identified", "cookie")
"""What names a secret in a statement beside the words of running text."""


class Statements:
    """The SQL statements of one cassette.

    Args:
        names: what each name says of its value.
        kind: the same, of names that are no tags.
        found: takes the secrets.
        item: replaces one value in its box, by what its name says.
    """

    def __init__(
        self,
        names: Names,
        kind: Callable[[str], int],
        found: Replacements,
        item: Callable[[Any, Any, Any, int], None],
    ) -> None:
        self._kind, self._found, self._item = kind, found, item
        self._hints = (*names.keywords, *_FUNCTIONS)

    def hints_at_secrets(self, sql: str) -> bool:
        """Whether a statement may name a secret: most do not, and are not cut into their tokens."""
        lower = sql.lower()
        return any(hint in lower for hint in self._hints)

    def without_literals(self, sql: str) -> str | None:
        """Returns a statement with its secret literals replaced; None if it has none."""
        if not self.hints_at_secrets(sql) or not ("'" in sql or "$" in sql or any(char.isdigit() for char in sql)):
            return None
        made, done = "", 0
        for value in sorted(values(sql), key=lambda value: value.start):
            if value.key is None and value.start >= done and self._kind(value.name) != PLAIN:
                made += sql[done : value.start] + self._literal(sql[value.start : value.end], sql[: value.start])
                done = value.end
        return made + sql[done:] if done else None

    def parameters(self, sql: str, given: Any) -> None:
        """Replaces the parameters that a statement writes to a secret column, or compares with one."""
        self._parameters(names_of_parameters(sql) if self.hints_at_secrets(sql) else {}, given)

    def _parameters(self, names: dict[str, str], given: Any) -> None:
        if isinstance(given, dict):
            for key, value in given.items():
                self._item(given, key, value, self._kind(key) or self._kind(names.get(key, "")))
        elif isinstance(given, list):
            for index, value in enumerate(given):
                kind = self._kind(names.get(str(index), ""))
                inner = content(value)
                rows = isinstance(inner, list) or (isinstance(inner, dict) and "$" not in next(iter(inner), "$"))
                if rows and kind == PLAIN:
                    self._parameters(names, inner)
                else:
                    self._item(given, index, value, kind)

    def _literal(self, raw: str, before: str) -> str:
        if raw.isdigit() and before[-1:] not in ("'", "x", "X"):
            return self._found.put(raw) if len(raw) > 2 else raw
        told = (
            raw.removeprefix("\\x") if raw.startswith("\\x") else raw if before.lower().endswith(("x'", "0x")) else ""
        )
        try:
            plain = bytes.fromhex(told).decode()
        except ValueError:
            plain = ""
        if plain.isprintable() and plain:
            made = self._found.put(plain).encode().hex()
            return raw[: len(raw) - len(told)] + self._found.form(
                told, made.upper() if told.isupper() else made, asked=True
            )
        bare = raw.strip("%")  # of a pattern
        if "''" not in bare:
            return raw.replace(bare, self._found.put(bare)) if bare else raw
        made = self._found.put(bare.replace("''", "'"))
        return raw.replace(bare, self._found.form(bare, made.replace("'", "''"), asked=True))
