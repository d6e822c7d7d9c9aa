"""The clock of a replayed session: its own for everything the app asks, the true one for everybody else."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Iterator

import pytest

from timetracer.engine import clock
from timetracer.engine.sessions import current

DAY = 86_400


class Away:
    """A session whose clock is some seconds off."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def clock(self, true: int) -> int:
        """The time in the session."""
        return true + self.seconds * 10**9


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """The clock in place, for one test."""
    clock.install()
    yield
    clock.uninstall()


def seconds_off() -> list[int]:
    """How far every way of asking for the time is from the true one."""
    true = time.monotonic() + OFFSET
    utc = dt.timezone.utc  # noqa: UP017 - as apps write it
    return [
        round(time.time() - true),
        round(time.time_ns() / 1e9 - true),
        round(dt.datetime.now().timestamp() - true),
        round(dt.datetime.now(utc).timestamp() - true),
    ]


OFFSET = time.time() - time.monotonic()


def test_each_session_has_its_own_time() -> None:
    """Two sessions at once, in tasks and in threads, and the true time beside them."""

    async def ask(seconds: int) -> list[int]:
        with current(Away(seconds)):
            await asyncio.sleep(0.01)
            return seconds_off()

    async def together() -> list[list[int]]:
        return await asyncio.gather(ask(-DAY), ask(3600), ask(0))

    assert asyncio.run(together()) == [[-DAY] * 4, [3600] * 4, [0] * 4]
    seen: list[list[int]] = []
    with current(Away(-DAY)):
        thread = threading.Thread(target=lambda: seen.append(seconds_off()))
        thread.start()
        thread.join()
        assert seconds_off() == [-DAY] * 4
    assert seen == [[0] * 4]
    assert seconds_off() == [0] * 4


def test_time_goes_on() -> None:
    """The clock runs; it is not frozen."""
    with current(Away(-DAY)):
        before = time.time()
        time.sleep(0.02)
        assert 0.01 < time.time() - before < 5


def test_uninstalled_the_process_has_its_clock_back() -> None:
    """Nothing stays behind."""
    clock.uninstall()
    with current(Away(-DAY)):
        assert seconds_off() == [0] * 4
