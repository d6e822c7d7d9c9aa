"""Lanes: which of several concurrent asyncio tasks of a session makes a call, named alike in every run.

A task's lane is its parent's lane and its rank among that parent's tasks, in the order they were created: `2.1` is the
first task made by the second task. Order of creation is decided by the app's code; order of completion is not.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from typing import Any

from timetracer.engine.guard import attempt

_lanes: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_PATCHED = "_timetracer_real"


def current_lane() -> str:
    """Returns the lane of the running task; empty for plain code, threads and the task that the session began in."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return ""
    task = asyncio.current_task(loop)
    return "" if task is None else _lanes.get(task, "")


def _rank(task: Any, session_here: Callable[[], Any]) -> None:
    session = session_here()
    if session is not None:
        parent = current_lane()
        rank = session.task_counts.get(parent, 0) + 1
        session.task_counts[parent] = rank
        _lanes[task] = f"{parent}.{rank}" if parent else str(rank)


def install(loop_class: type, session_here: Callable[[], Any]) -> None:
    """Makes `loop_class` rank the tasks it creates.

    Args:
        loop_class: `asyncio.BaseEventLoop` or another loop class with a Python `create_task` (uvloop's).
        session_here: returns an object with `task_counts: dict[str, int]`, or None where tasks are not to be ranked
            (outside a session, or beneath a captured call, where a client makes tasks that a stand-in does not).
    """
    real = loop_class.create_task  # type: ignore[attr-defined]
    if hasattr(real, _PATCHED):
        return

    @functools.wraps(real)
    def create_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        task = real(self, *args, **kwargs)
        made_at = getattr(task, "_source_traceback", None)  # in debug mode, where it ends in this very line
        if made_at:  # https://github.com/python/cpython/blob/3.13/Lib/asyncio/base_events.py (create_task) does so, too
            del made_at[-1]
        attempt("ranking a task", _rank, task, session_here)
        return task

    setattr(create_task, _PATCHED, real)
    loop_class.create_task = create_task  # type: ignore[attr-defined]


def uninstall(loop_class: type) -> None:
    """Undoes `install`."""
    real = getattr(loop_class.create_task, _PATCHED, None)  # type: ignore[attr-defined]
    if real is not None:
        loop_class.create_task = real  # type: ignore[attr-defined]
