"""The writer's thread is one of the system, with gevent and without."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from timetracer.cassette.real_threads import RealCondition, RealThread

WRITES = """
import _thread
own = _thread.get_ident
{first}
{second}
import contextlib, gevent
threads, handled = set(), []

def handle(item):
    threads.add(own())
    handled.append(item)

writer = Writer(handle, limit_bytes=1000, guard=contextlib.nullcontext, on_drop=print, interval=0.01)

def greenlet(first):
    for n in range(first, first + 10):
        assert writer.put(n, 1)
        gevent.sleep(0.001)

ticks = []

def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)

ticking = gevent.spawn(tick)
gevent.joinall([gevent.spawn(greenlet, 10 * n) for n in range(8)], raise_error=True)
ticking.kill()
assert writer.flush(5)
assert sorted(handled) == list(range(80)), handled
assert len(threads) == 1 and own() not in threads, threads
assert writer.close(5) and writer.held_bytes == 0
print("written", len(ticks) > 3)
"""
PATCH = "from gevent import monkey; monkey.patch_all()"
IMPORT = "from timetracer.cassette.writer import Writer"


@pytest.mark.parametrize(("first", "second"), [(PATCH, IMPORT), (IMPORT, PATCH)], ids=["before", "after"])
def test_greenlets_are_not_what_writes(first: str, second: str) -> None:
    """Whether gevent comes before us or after, a thread of the system handles what greenlets put, and all of it."""
    program = WRITES.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "written True\n"), done.stderr


def test_a_condition_gives_up_in_time_and_is_told() -> None:
    """Who waits is woken by whoever notifies, or after its time; its lock is reentrant and free while it waits."""
    changed, told = RealCondition(), []

    def tell() -> None:
        with changed.lock:
            told.append(1)
            changed.notify_all()

    with changed.lock, changed.lock:
        assert not changed.wait(0.01)
        thread = RealThread(tell, "teller")
        thread.start()
        assert changed.wait_for(lambda: bool(told), 5)
        assert not changed.wait_for(lambda: len(told) > 1, 0.01)
    thread.join(5)
    assert told == [1]


def test_a_thread_knows_itself() -> None:
    """Only the code that it runs is in it, and `join` waits for its end."""
    seen: list[bool] = []

    def look() -> None:
        time.sleep(0.01)
        seen.append(thread.is_current())

    thread = RealThread(look, "looker")
    thread.start()
    assert not thread.is_current()
    thread.join(5)
    assert seen == [True]
