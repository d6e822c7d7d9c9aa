"""Takes finished work off the app's threads: one thread handles it in batches, within a bound of bytes.

Items wake the thread at most once a batch, since every wake-up contends with the app for the GIL.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from timetracer.cassette.real_threads import RealCondition, RealThread

T = TypeVar("T")

EXIT_SECONDS = 2.0

_writers: weakref.WeakSet[Writer[Any]] = weakref.WeakSet()


class Writer(Generic[T]):
    """Hands items to a function on a daemon thread of its own, which starts with the first item.

    Bytes count from where they arise: `add_bytes` when a body is read, taken over by `put`, freed once handled.
    Nothing here blocks the caller but `flush` and `close`.

    Args:
        handle: takes one item, on the writer's thread.
        limit_bytes: bytes held at most; what comes above is refused.
        guard: makes a context manager that swallows and logs what `handle` raises.
        on_drop: told of each refused item, with its size in bytes.
        interval: seconds between the first item of a batch and its handling. Larger batches hold the GIL for longer:
            with 0.08 one request in twenty took 15 ms where it takes 8.
    """

    def __init__(
        self,
        handle: Callable[[T], None],
        *,
        limit_bytes: int,
        guard: Callable[[], AbstractContextManager[Any]],
        on_drop: Callable[[int], None],
        interval: float = 0.02,
    ) -> None:
        self._handle = handle
        self._limit = limit_bytes
        self._guard = guard
        self._on_drop = on_drop
        self._interval = interval
        self._closed = self._at_exit = False
        self.dropped = 0
        self._reset()
        _writers.add(self)

    def _reset(self) -> None:
        """Starts anew, also in a forked child: the items are the parent's to write, its lock may be held for ever."""
        # Reentrant: a finalizer or signal handler may put an item while this very thread is in `put`.
        self._changed = RealCondition()
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._queued = 0
        self._put = 0  # items taken since the start; `_done` of them are handled
        self._done = 0
        self._hurried = 0
        self._thread: RealThread | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes counted and not yet freed."""
        return self._bytes

    @property
    def left(self) -> int:
        """Items taken and not yet handled."""
        return self._put - self._done

    def add_bytes(self, size: int) -> bool:
        """Counts bytes that are kept from now on; False if there is no room, and then they must not be kept."""
        with self._changed.lock:
            if self._bytes + size > self._limit:
                return False
            self._bytes += size
            return True

    def release_bytes(self, size: int) -> None:
        """Frees bytes that were counted and are not handed over."""
        with self._changed.lock:
            self._bytes = max(0, self._bytes - size)  # in a forked child they were never counted

    def put(self, item: T, size: int, *, counted: int = 0) -> bool:
        """Hands an item over. Returns at once.

        Args:
            item: for `handle`.
            size: bytes it holds that were not counted before.
            counted: bytes it holds that `add_bytes` counted; they are freed with it, also if it is refused.

        Returns:
            False if there is no room, or the writer is closed: the item is dropped and counted.
        """
        with self._changed.lock:
            refused = self._closed or self._bytes + size > self._limit
            if refused:
                self._bytes = max(0, self._bytes - counted)
                self.dropped += 1
            else:
                self._items.append((item, size + counted))
                self._bytes += size
                before, self._queued = self._queued, self._queued + size + counted
                self._put += 1
                quarter = self._limit // 4
                if self._thread is None:
                    self._start()
                elif len(self._items) == 1 or before < quarter <= self._queued:
                    self._changed.notify_all()
        if refused:
            self._on_drop(size + counted)
        return not refused

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was put before is handled; False if that took longer than `timeout` seconds."""
        with self._changed.lock:
            target = self._put
            if self._done >= target:
                return True
            here = self._thread is not None and self._thread.is_current()
            if not here and (self._thread is not None or self._start()):
                self._hurried += 1
                self._changed.notify_all()
                try:
                    self._changed.wait_for(lambda: self._done >= target or self._thread is None, timeout)
                finally:
                    self._hurried -= 1
                if self._thread is not None or self._done >= target:
                    return self._done >= target
        # Called by `handle` itself, or the thread was ended, or no thread can start any more at interpreter exit.
        self._drain()
        return True

    def close(self, timeout: float | None = 2.0) -> bool:
        """Handles what is left and ends the thread; later items are refused. False: `timeout` seconds were too few."""
        with self._changed.lock:
            self._closed = True
        started = time.monotonic()
        finished = self.flush(timeout)
        with self._changed.lock:
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and not thread.is_current():
            thread.join(None if timeout is None else max(0.0, timeout - (time.monotonic() - started)))
        atexit.unregister(self.flush)
        return finished

    def _start(self) -> bool:
        if not self._at_exit:
            # Flushed, not closed: whoever owns it may still put what ends with the process.
            atexit.register(self.flush, EXIT_SECONDS)
            self._at_exit = True
        self._thread = RealThread(self._run, "timetracer-writer")
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending: the items wait for `flush` or `close`
            self._thread = None
            return False
        return True

    def _run(self) -> None:
        try:
            with self._guard():
                while self._wait():
                    self._drain()
        finally:
            with self._changed.lock:
                self._thread = None
                self._changed.notify_all()

    def _wait(self) -> bool:
        """Waits until a batch is due; False if none will come."""
        with self._changed.lock:
            while not self._items:
                if self._closed:
                    return False
                self._changed.wait()
            due = time.monotonic() + self._interval
            while not (self._closed or self._hurried or self._queued >= self._limit // 4):
                left = due - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
        return True

    def _drain(self) -> None:
        """Handles the items there are now. What `guard` lets through (SystemExit) ends the thread; `put` starts one."""
        for _ in range(len(self._items)):
            with self._changed.lock:
                if not self._items:
                    return
                item, size = self._items.popleft()
                self._queued -= size
            try:
                with self._guard():
                    self._handle(item)
            finally:
                with self._changed.lock:
                    self._bytes = max(0, self._bytes - size)
                    self._done += 1
                    if self._hurried:
                        self._changed.notify_all()


def _after_fork() -> None:
    for writer in list(_writers):
        writer._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
