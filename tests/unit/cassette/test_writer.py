"""The writer takes work off the app's threads, within its bound, and loses nothing silently."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import pytest

from timetracer.cassette.writer import Writer


@pytest.fixture
def writers() -> Iterator[Callable[..., Writer[Any]]]:
    """Makes writers that are closed after the test."""
    made: list[Writer[Any]] = []

    def make(
        handle: Callable[[Any], None],
        *,
        limit_bytes: int = 1000,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        on_drop: Callable[[int], None] = lambda size: None,
        interval: float = 0.02,
    ) -> Writer[Any]:
        made.append(Writer(handle, limit_bytes=limit_bytes, guard=guard, on_drop=on_drop, interval=interval))
        return made[-1]

    yield make
    for writer in made:
        assert writer.close(5)


def test_items_are_handled_in_order_on_another_thread(writers: Callable[..., Writer[int]]) -> None:
    """Items come to `handle` in the order they were put, on one thread that is not the app's."""
    seen: list[tuple[int, str]] = []
    writer = writers(lambda item: seen.append((item, threading.current_thread().name)))
    assert all(writer.put(n, 1) for n in range(50))
    assert writer.flush(5)
    assert seen == [(n, "timetracer-writer") for n in range(50)]
    assert writer.held_bytes == 0


def test_no_thread_starts_before_the_first_item(writers: Callable[..., Writer[int]]) -> None:
    """A writer that is never used costs no thread."""
    writer = writers(print)
    before = threading.active_count()
    assert writer.flush(1)
    assert threading.active_count() == before


def test_items_wait_for_a_batch(writers: Callable[..., Writer[int]]) -> None:
    """A batch is handled when its interval has passed, or a flush asks, not item by item."""
    handled = threading.Event()
    writer = writers(lambda item: handled.set(), interval=60)
    writer.put(1, 1)
    assert not handled.wait(0.1)
    assert writer.flush(5)
    assert handled.is_set()
    soon = writers(lambda item: handled.set(), interval=0.01)
    handled.clear()
    soon.put(1, 1)
    assert handled.wait(5)


def test_a_quarter_of_the_bound_does_not_wait(writers: Callable[..., Writer[int]]) -> None:
    """Much data is handled at once."""
    handled = threading.Event()
    writer = writers(lambda item: handled.set(), interval=60, limit_bytes=100)
    writer.put(1, 1)
    writer.put(2, 24)
    assert handled.wait(5)


def test_what_exceeds_the_bound_is_dropped_and_counted(writers: Callable[..., Writer[int]]) -> None:
    """A full writer refuses at once, counts it, and takes items again when there is room."""
    gate = threading.Event()
    seen: list[int] = []
    drops: list[int] = []

    def handle(item: int) -> None:
        gate.wait(60)
        seen.append(item)

    writer = writers(handle, limit_bytes=100, on_drop=drops.append)
    assert writer.put(1, 60)
    assert not writer.put(2, 60)
    assert seen == []  # it did not wait for room
    assert (writer.dropped, drops, writer.held_bytes) == (1, [60], 60)
    gate.set()
    assert writer.flush(5)
    assert writer.put(3, 60)
    assert writer.flush(5)
    assert seen == [1, 3]


def test_bytes_count_from_the_tee_to_the_end(writers: Callable[..., Writer[int]]) -> None:
    """Bytes of open bodies take room, pass over to the item, and are freed when it is handled or refused."""
    gate = threading.Event()
    writer = writers(lambda item: gate.wait(5) and None, limit_bytes=100)
    assert writer.add_bytes(70)
    assert not writer.add_bytes(40)
    writer.release_bytes(10)
    assert writer.put(1, 20, counted=60)
    assert writer.held_bytes == 80
    assert writer.add_bytes(10)
    assert not writer.put(2, 50, counted=10)
    assert writer.held_bytes == 80
    gate.set()
    assert writer.flush(5)
    assert writer.held_bytes == 0


def test_a_failing_handle_does_not_end_the_writer(writers: Callable[..., Writer[int]]) -> None:
    """The guard takes the error, and the next item is handled."""
    errors: list[str] = []
    seen: list[int] = []

    @contextmanager
    def guard() -> Iterator[None]:
        try:
            yield
        except ZeroDivisionError as error:
            errors.append(type(error).__name__)

    def handle(item: int) -> None:
        seen.append(1 // item)

    writer = writers(handle, guard=guard)
    for item in (0, 1, 0, 1):
        writer.put(item, 1)
    assert writer.flush(5)
    assert (seen, errors, writer.held_bytes) == ([1, 1], ["ZeroDivisionError"] * 2, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_replaced(writers: Callable[..., Writer[int]]) -> None:
    """What the guard lets through ends the thread; the items after it are handled all the same."""
    seen: list[int] = []

    def handle(item: int) -> None:
        if item == 0:
            raise SystemExit
        seen.append(item)

    writer = writers(handle)
    writer.put(0, 1)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "timetracer-writer")
    for item in (1, 2):
        writer.put(item, 1)
    assert writer.flush(5)
    thread.join(5)
    writer.put(3, 1)
    assert writer.flush(5)
    assert seen == [1, 2, 3]


def test_flush_gives_up_in_time(writers: Callable[..., Writer[int]]) -> None:
    """A slow disk does not hold the app longer than it allows."""
    gate = threading.Event()
    seen: list[bool] = []
    writer = writers(lambda item: seen.append(gate.wait(60)))
    writer.put(1, 1)
    assert not writer.flush(0.1)
    assert (seen, writer.left) == ([], 1)  # it did not wait for the disk
    gate.set()
    assert writer.flush(60)
    assert (seen, writer.left) == ([True], 0)


def test_close_handles_what_is_left_and_refuses_more(writers: Callable[..., Writer[int]]) -> None:
    """After `close` the thread is gone, and items are dropped and counted."""
    seen: list[int] = []
    writer = writers(seen.append, interval=60)
    writer.put(1, 1)
    assert writer.close(5)
    assert not writer.put(2, 1)
    assert (seen, writer.dropped) == ([1], 1)
    assert not any(thread.name == "timetracer-writer" for thread in threading.enumerate())


def test_handle_may_put_and_flush(writers: Callable[..., Writer[int]]) -> None:
    """The writer's own thread does not wait for itself."""
    seen: list[int] = []

    def handle(item: int) -> None:
        seen.append(item)
        if item == 1:
            writer.put(2, 1)
            writer.flush(1)

    writer = writers(handle)
    writer.put(1, 1)
    deadline = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == [1, 2]


def test_many_threads_lose_nothing(writers: Callable[..., Writer[int]]) -> None:
    """Every item is either handled or refused, whoever puts it."""
    seen: list[int] = []
    writer = writers(seen.append, limit_bytes=200, interval=0.001)
    taken: list[int] = []

    def work(first: int) -> None:
        taken.extend(n for n in range(first, first + 500) if writer.put(n, 7))

    threads = [threading.Thread(target=work, args=(n * 500,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(10)
    assert sorted(seen) == sorted(taken)
    assert len(seen) + writer.dropped == 2000
    assert writer.held_bytes == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_anew(writers: Callable[..., Writer[int]]) -> None:
    """The child has the parent's writer but not its items, bytes, lock or thread; the parent's stay as they are."""
    reading, writing = os.pipe()
    writer = writers(lambda item: os.write(writing, bytes([item])) and None, interval=60)
    writer.put(1, 1)
    with writer._changed.lock:  # as if another thread held it
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                fresh = threading.Thread(target=lambda: writer.put(2, 1))
                fresh.start()
                fresh.join(5)
                writer.release_bytes(5)
                status = 0 if writer.flush(5) and writer.held_bytes == 0 else 2
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert writer.flush(5)
    assert os.read(reading, 10) == b"\x02\x01"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    "end", ["", "raise SystemExit(3)", "atexit.register(lambda: writer.put(2, 1) and writer.flush(1))"]
)
def test_items_are_handled_at_interpreter_exit(end: str) -> None:
    """A program that just ends loses nothing that was taken."""
    program = f"""
import atexit, contextlib
from timetracer.cassette.writer import Writer
writer = Writer(lambda item: print(item, flush=True), limit_bytes=100, guard=contextlib.nullcontext,
                on_drop=lambda size: None, interval=60)
writer.put(1, 1)
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == (["1", "2"] if "put(2" in end else ["1"])
