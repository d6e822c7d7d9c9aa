"""Finds secrets in the rows of PostgreSQL's COPY, whose columns the statement names and whose data are calls apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from timetracer.cassette import tables
from timetracer.cassette.encoded_parts import content
from timetracer.cassette.model import Event
from timetracer.cassette.replacements import Replacements
from timetracer.cassette.secrets_rules import PLAIN

_COPY = re.compile(
    r"\s*COPY\s+(?:[\w.\"]+\s*\((?P<listed>[^()]*)\)|\(\s*SELECT\s+(?P<selected>.*?)\s+FROM\b.*\))\s+(?:FROM|TO)\b(?P<more>.*)",
    re.IGNORECASE | re.DOTALL,
)
_MOVING = ("WRITE", "READ")  # what the psycopg plugin calls the data that follow a COPY


class CopiedRows:
    """The COPY statements of one cassette: each is known in its lane until the next."""

    def __init__(self, kind: Callable[[str], int], found: Replacements) -> None:
        self._kind, self._found = kind, found
        self._running: dict[str, tuple[list[int], int, str]] = {}

    def event(self, event: Event) -> None:
        """Notes the columns of a COPY, or replaces the secret ones in its data."""
        if event.signature.method != "COPY":
            return
        sql = event.signature.fields.get("sql")
        if sql not in _MOVING:
            self._begin(event.lane, str(sql))
        elif running := self._running.get(event.lane):
            for box in self._boxes(event):
                if isinstance(text := box.get("data"), str):
                    box["data"] = tables.rows(text, *running, self._found)

    def _begin(self, lane: str, sql: str) -> None:
        self._running.pop(lane, None)
        if (found := _COPY.match(sql)) is None:
            return
        names = [
            part.split()[-1].strip('"') for part in (found["listed"] or found["selected"]).split(",") if part.strip()
        ]
        secret = [index for index, name in enumerate(names) if self._kind(name.rpartition(".")[2]) != PLAIN]
        if secret:
            self._running[lane] = secret, len(names), "," if "csv" in found["more"].lower() else "\t"

    @staticmethod
    def _boxes(event: Event) -> Iterator[dict[str, Any]]:
        result = event.result
        items = result.items.values if result.items is not None else ()
        answers = [result.value, *(result.replies or ()), *items]
        for holder in (event.signature.fields, *answers):
            inner = content(holder)
            for each in inner if isinstance(inner, list) else (holder,):
                if isinstance(each, dict):
                    yield each
