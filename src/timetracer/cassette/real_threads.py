"""Threads and locks of the system, whatever stands in their place: gevent makes greenlets of `threading`'s.

A greenlet that encodes and writes would hold up every request of its process, and starting one switches to others in
the middle of what a lock protects.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


def _real(name: str) -> Any:
    """Returns what `_thread` had under a name; gevent keeps it where it came before us.

    Upstream: https://www.gevent.org/api/gevent.monkey.html#gevent.monkey.get_original
    """
    monkey = sys.modules.get("gevent.monkey")
    return getattr(_thread, name) if monkey is None else monkey.get_original("_thread", name)


_allocate_lock = _real("allocate_lock")
_get_ident = _real("get_ident")
_start_new_thread = _real("start_new_thread")
_RLock = _real("RLock")


class RealCondition:
    """A `threading.Condition` with a reentrant lock, of what the system has.

    Upstream: `Condition` (https://github.com/python/cpython/blob/3.13/Lib/threading.py), which looks up anew what each
    waiter waits on, and takes its lock apart by the same two methods.

    Attributes:
        lock: to be held around each use: that of the system itself, for bytes are counted on the path of every call.
    """

    __slots__ = ("_waiters", "lock")

    def __init__(self) -> None:
        self.lock = _RLock()
        self._waiters: deque[Any] = deque()

    def wait(self, timeout: float | None = None) -> bool:
        """Lets go of the lock until somebody notifies; False if that took longer than `timeout` seconds."""
        waiter = _allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        state = self.lock._release_save()
        notified: bool = False
        try:
            notified = waiter.acquire(True, -1 if timeout is None else max(0.0, timeout))
            return notified
        finally:
            self.lock._acquire_restore(state)
            if not notified and waiter in self._waiters:
                self._waiters.remove(waiter)

    def wait_for(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits until `done` says yes; False if that took longer than `timeout` seconds."""
        due = None if timeout is None else time.monotonic() + timeout
        while not done():
            left = None if due is None else due - time.monotonic()
            if left is not None and left <= 0:
                return False
            self.wait(left)
        return True

    def notify_all(self) -> None:
        """Wakes all who wait."""
        while self._waiters:
            self._waiters.popleft().release()


class RealThread:
    """A daemon thread; one of `threading`'s, which debuggers know by name, unless those are greenlets."""

    __slots__ = ("_ended", "_ident", "_name", "_run", "_thread")

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run, self._name = run, name
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._ended = _allocate_lock()

    def start(self) -> None:
        """Starts it; RuntimeError where none can start any more."""
        self._ended.acquire()
        if _thread.start_new_thread is _start_new_thread:
            self._thread = threading.Thread(target=self._body, name=self._name, daemon=True)
            self._thread.start()
        else:
            _start_new_thread(self._body, ())

    def _body(self) -> None:
        self._ident = _get_ident()
        try:
            self._run()
        finally:
            self._ended.release()

    def is_current(self) -> bool:
        """Whether the running code is in it."""
        return self._ident is not None and self._ident == int(_get_ident())

    def join(self, timeout: float | None) -> None:
        """Waits for its end, `timeout` seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)
        elif self._ended.acquire(True, -1 if timeout is None else timeout):
            self._ended.release()
