"""Finds secrets in pickles by their structure, which is followed and never loaded: a class's name is no value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timetracer.cassette.secrets_rules import OPAQUE, PLAIN, Names

Span = tuple[int, int]

_PUT, _GET = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), ("GET", "BINGET", "LONG_BINGET")
_PAIRS = ("SETITEM", "SETITEMS", "DICT")
_NO_TEXT = ("GLOBAL", "INST", "PERSID")
_MARK = object()
_BROKEN = (ValueError, LookupError, ArithmeticError, TypeError)


class Pickled:
    """What was found in a pickle.

    Attributes:
        secrets: where texts stand that have a secret name.
        texts: where all its texts stand; the names of classes are none.
        whole: these bytes are one pickle from their beginning to their end.
    """

    __slots__ = ("secrets", "texts", "whole")

    def __init__(self, data: bytes, names: Names) -> None:
        reader = _Reader(data, names)
        self.whole = reader.read() == len(data)
        self.secrets = list(reader.secrets())
        self.texts = reader.texts

    def holds(self, start: int, end: int) -> bool:
        """Whether a span lies within one text."""
        return any(first <= start and end <= last for first, last in self.texts)


class _Reader:
    """Follows the opcodes. What they would make is a list of what is in it, a text is a tuple: where, and what.

    Upstream: `pickletools.opcodes`, which says what each takes from the stack and leaves on it
    (https://github.com/python/cpython/blob/3.13/Lib/pickletools.py).
    """

    def __init__(self, data: bytes, names: Names) -> None:
        self._data, self._names = data, names
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._found: list[Any] = []
        self._spans: dict[Span, None] = {}
        self._after: list[Any] = []
        self._last: Any = None

    @property
    def texts(self) -> list[Span]:
        return list(self._spans)

    def read(self) -> int:
        """Returns how far the pickle goes; 0 where it is broken: then all that is known is what follows a name."""
        from pickletools import genops

        end = 0
        try:
            for op, argument, at in genops(self._data):
                self._follow(op, argument, at or 0)
                end = (at or 0) + 1
        except _BROKEN:
            self._found += self._after
            return 0
        return end

    def _follow(self, op: Any, argument: Any, at: int) -> None:
        stack, memo = self._stack, self._memo
        if op.name in _PUT:
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif op.name in _GET:
            stack.append(memo[argument])
        elif op.name == "MARK":
            stack.append(_MARK)
        elif isinstance(argument, str | bytes | bytearray) and op.name not in _NO_TEXT:
            stack.append(self._text(argument, at))
        else:
            self._make(op)

    def _text(self, argument: str | bytes | bytearray, at: int) -> tuple[int, int, str | bytes | bytearray]:
        raw = argument.encode("utf-8", "surrogatepass") if isinstance(argument, str) else argument
        start = self._data.find(raw, at)
        if start >= 0:
            self._spans[start, start + len(raw)] = None
        text = start, start + len(raw), argument
        if self._secret(self._last):
            self._after.append(text)
        self._last = text
        return text

    def _make(self, op: Any) -> None:
        stack = self._stack
        takes = [each.name for each in op.stack_before]
        if "mark" in takes:
            at = len(stack) - 1 - stack[::-1].index(_MARK)
            taken = stack[at + 1 :]
            del stack[at:]
        else:
            at = len(stack) - len(takes)
            taken = stack[at:]
            del stack[at:]
        box: Any = []
        if "mark" in takes[1:]:
            box = stack.pop()
        elif op.name in ("SETITEM", "APPEND", "BUILD"):
            box = taken.pop(0)
        if op.name == "STACK_GLOBAL":
            for start, end, _ in taken:
                self._spans.pop((start, end), None)
            taken = []
        elif op.name in _PAIRS:
            taken = self._values(taken)
        elif len(taken) == 2 and self._secret(taken[0]):
            self._found.append(taken[1])
        if isinstance(box, list):
            box += taken
        for _ in op.stack_after:
            stack.append(box)

    def _values(self, taken: list[Any]) -> list[Any]:
        for key, value in zip(taken[::2], taken[1::2], strict=False):
            if self._secret(key):
                self._found.append(value)
        return taken[1::2]

    def _secret(self, key: Any) -> bool:
        return isinstance(key, tuple) and isinstance(key[2], str) and PLAIN < self._names[key[2]] < OPAQUE

    def secrets(self) -> Iterator[Span]:
        """Yields the texts in what has a secret name, however deep, but for the keys of mappings."""
        left, seen = list(self._found), set[int]()
        while left:
            each = left.pop()
            if isinstance(each, tuple):
                if each[0] >= 0:
                    yield each[0], each[1]
            elif isinstance(each, list) and id(each) not in seen:
                seen.add(id(each))
                left += each
