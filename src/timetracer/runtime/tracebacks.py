"""Shortens what a failed test shows: how we looked for an answer is no news to who reads it."""

from __future__ import annotations

from collections.abc import Iterator


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error with those that it came of, and those in a group."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        waiting += [*getattr(each, "exceptions", ()), each.__context__, each.__cause__]


def end_where_asked(error: BaseException) -> None:
    """Ends the traceback of each of our errors at the line of other code that asked."""
    for each in chained(error):
        if type(each).__module__ != "timetracer.errors":
            continue
        last, trace = None, each.__traceback__
        while trace is not None:
            if not str(trace.tb_frame.f_globals.get("__name__", "")).startswith("timetracer."):
                last = trace
            trace = trace.tb_next
        if last is not None:
            last.tb_next = None
