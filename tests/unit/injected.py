"""Lets memory run out at a chosen line of ours, to see that an app never notices it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Injected:
    """Lets memory run out at the n-th line that is run in this thread, of the code that `within` picks.

    Attributes:
        where: the line that it hit; empty if there are not so many.
    """

    def __init__(self, at: int, within: Callable[[CodeType], bool]) -> None:
        self.at, self.within, self.seen, self.where = at, within, 0, ""

    def __enter__(self) -> Injected:
        sys.settrace(self._into)
        return self

    def __exit__(self, *raised: object) -> None:
        sys.settrace(None)

    def _into(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if self.within(frame.f_code) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.seen += 1
            if self.seen == self.at:
                self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                raise MemoryError("injected")
        return self._line
