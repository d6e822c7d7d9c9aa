"""Threads started inside a session belong to it; those from outside do not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context

from timetracer.engine import threads
from timetracer.engine.sessions import SESSION_KEY, current, silenced


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """The functions wrapped, for one test."""
    threads.install()
    yield
    threads.uninstall()


def here() -> Any:
    """The session of the running code."""
    return context.get_current().get(SESSION_KEY)


class Subclassed(threading.Thread):
    """A thread with a `run` of its own."""

    def run(self) -> None:
        """Notes the session."""
        self.seen = here()


def test_threads_and_pools_carry_the_session() -> None:
    """A thread, a subclass and a pool's task see the session they were started in, and the pool forgets it again."""
    seen: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(here).result()
        with current("session"):
            threading_thread = threading.Thread(target=lambda: seen.append(here()))
            subclassed = Subclassed()
            for thread in (threading_thread, subclassed):
                thread.start()
                thread.join()
            seen += [subclassed.seen, pool.submit(here).result(), *pool.map(lambda _: here(), range(2))]
        seen.append(pool.submit(here).result())
    assert seen == ["session"] * 5 + [None]


def test_a_clients_own_threads_do_not() -> None:
    """Beneath a captured call nothing is carried: those threads are not the app's."""
    with ThreadPoolExecutor(1) as pool, current("session"), silenced(frozenset()):
        assert pool.submit(here).result() is None


def test_a_pools_threads_belong_to_nobody() -> None:
    """A thread that a pool starts for one session's task runs the next session's task, and nobody's, as theirs."""
    with ThreadPoolExecutor(1) as pool:
        with current("first"):
            assert pool.submit(here).result() == "first"
        with current("second"):
            assert pool.submit(here).result() == "second"
        assert pool.submit(here).result() is None
