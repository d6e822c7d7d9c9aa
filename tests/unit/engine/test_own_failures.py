"""What fails in our own keeping of a recorded call stays ours: memory that runs out never reaches the app."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import random
import signal
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType
from typing import Any

import httpx
import pytest
import requests

import timetracer
from tests.server_process import free_ports
from tests.services import Upstream
from tests.unit.injected import Injected
from timetracer.engine import clock, drivers
from timetracer.engine.bodies import Copy
from timetracer.engine.guard import guard, say_once
from timetracer.plugin import Call

SKIN = {"wrapping.py", "drivers.py", "guard.py"}
"""Where our code is a few instructions around the app's call that keep nothing, so that there is nothing to fail."""
OUTERMOST = {
    "_SessionClock.time",
    "_SessionClock.time_ns",
    "_now",
    "_drawing.<locals>.draw",
    "install.<locals>.create_task",
    "install.<locals>.start",
    "install.<locals>.submit",
    "Copy.feed",
    "Copy.restart",
    "Copy.finish",
    "CopyingStream._app",
    "CopyingStream._watched",
    "CopyingStream.__iter__",
    "CopyingStream.__getattr__",
    "CopyingStream._reading",
    "CopyingStream._reading.<locals>.read",
}
"""The same of functions elsewhere: each only calls the app's own beside what is guarded."""
_ENGINE = str(Path(drivers.__file__).parent)


def _keeps(code: CodeType) -> bool:
    within = code.co_filename.startswith(_ENGINE) and Path(code.co_filename).name not in SKIN
    return within and code.co_qualname not in OUTERMOST


CLIENT = httpx.Client(verify=False)


@pytest.fixture(scope="module", autouse=True)
def _no_connection_left() -> Iterator[None]:
    yield
    CLIENT.close()


@pytest.fixture
def replayed_before() -> Iterator[None]:
    """The clock in place, as in a process that has replayed: it stays there."""
    clock.install()
    yield
    clock.uninstall()


def _get(url: str) -> Any:
    response = CLIENT.get(f"{url}/stream/3")
    return response.status_code, response.content


def _stream(url: str) -> Any:
    with CLIENT.stream("GET", f"{url}/stream/3") as response:
        return b"".join(response.iter_raw())


def _upload(url: str) -> Any:
    return CLIENT.post(f"{url}/upload", content=iter([b"one", b"two"])).content


def _file(url: str) -> Any:
    return requests.post(f"{url}/upload", data=io.BytesIO(b"one"), timeout=10).content


def _refused(url: str) -> Any:
    with pytest.raises(httpx.ConnectError) as raised:
        CLIENT.get(f"http://127.0.0.1:{free_ports(1)[0]}")
    return type(raised.value), raised.value.__context__ is not None and "injected" in repr(raised.value.__context__)


def _async(url: str) -> Any:
    async def get() -> bytes:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(f"{url}/stream/3")).content

    return asyncio.run(get())


def _draws(url: str) -> Any:
    return type(uuid.uuid4()), type(random.random())


def _tasks(url: str) -> Any:
    async def several() -> list[int]:
        return await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3)))

    return asyncio.run(several())


def _threads(url: str) -> Any:
    done: list[int] = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        return done, pool.submit(int, "2").result()


@pytest.mark.usefixtures("replayed_before")
@pytest.mark.parametrize(
    "call", [_get, _stream, _upload, _file, _refused, _async, _draws, _tasks, _threads], ids=lambda call: call.__name__
)
def test_memory_that_runs_out_in_our_code_never_reaches_the_app(
    call: Callable[[str], Any], tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever line of the engine it hits, the app gets what it would get without us."""
    caplog.set_level(logging.CRITICAL, "timetracer")
    wanted, reached, points = call(upstream.url), [], 0
    while True:
        points += 1
        injected = Injected(points, _keeps)
        with timetracer.record(tmp_path / "x.json"):
            try:
                with injected:
                    got = call(upstream.url)
            except BaseException as error:  # noqa: BLE001 - whatever reaches the app
                got = error
        if not injected.where:
            break
        if got != wanted:
            reached.append(f"{injected.where}: {got!r}")
    assert reached == []
    assert points > 10


class _NoMemory:
    """A budget that fails."""

    def add_bytes(self, size: int) -> bool:
        """Has no memory to count with."""
        raise MemoryError

    def release_bytes(self, size: int) -> None:
        """Has no memory to count with."""
        raise MemoryError


def test_a_body_that_cannot_be_kept_is_marked_incomplete() -> None:
    """Its chunks are gone, so that a replay must not give the rest for the whole."""
    copy = Copy(100, _NoMemory())
    copy.feed(b"some")
    copy.feed_all([b"more"])
    copy.finish()
    assert copy.overflow
    assert copy.why_incomplete is not None
    copy.restart()


def test_the_apps_own_error_stays_as_it_was() -> None:
    """An error of the app that we fail to keep is raised as it is, with nothing of ours in its context."""

    def core() -> Any:
        try:
            yield drivers.REAL
        except ValueError:
            raise MemoryError("ours") from None

    own = ValueError("the app's")

    def real() -> None:
        raise own

    with pytest.raises(ValueError, match="the app's") as raised:
        drivers.drive(core(), Call(None, (), {}), real)
    assert raised.value is own
    assert own.__context__ is None


class PanicException(BaseException):
    """What a library in Rust raises when it panics."""


PanicException.__module__ = "pyo3_runtime"


class GreenletExit(BaseException):
    """What ends a greenlet."""


@pytest.mark.parametrize("ours", [MemoryError, RecursionError, PanicException])
def test_our_own_failures_end_at_the_guard(ours: type[BaseException]) -> None:
    """Memory, recursion, and the panic of a library that we use."""
    with guard("trying") as kept:
        raise ours
    assert isinstance(kept.failed, ours)


@pytest.mark.parametrize(
    "passing", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit, GreenletExit]
)
def test_what_ends_the_app_passes_by_the_guard(passing: type[BaseException]) -> None:
    """What is no failure but an end goes on to whom it is meant for."""
    with pytest.raises(passing), guard("trying"):
        raise passing


def _busy() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pass


class TooLate(Exception):
    """The app's own time limit."""


class Limit:
    """Handles the signal in a method, as gunicorn's workers do."""

    def reached(self, number: int, frame: Any) -> None:
        """Says that time is up."""
        raise TooLate

    __call__ = reached


def _reached(number: int, frame: Any) -> None:
    raise TooLate


@pytest.fixture(params=[_reached, Limit().reached, Limit()], ids=["function", "method", "object"])
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A handler of SIGALRM that raises."""
    before = signal.signal(signal.SIGALRM, request.param)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("limit")
def test_a_time_limit_that_strikes_in_our_code_is_the_apps() -> None:
    """An exception that the app's signal handler raises while we keep something is not swallowed as ours."""
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(TooLate), guard("trying"):
        _busy()


class _Strict(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError("no warnings here")


def test_a_log_that_raises_harms_nothing() -> None:
    """A handler of the app's that does not take our warning is no reason to fail its call."""
    logger, strict = logging.getLogger("timetracer"), _Strict()
    logger.addHandler(strict)
    try:
        with guard("failing for the first time"):
            raise ValueError
        say_once("said for the first time", "a message")
    finally:
        logger.removeHandler(strict)


def test_an_error_does_not_keep_what_failed_alive(tmp_path: Path) -> None:
    """A cursor that failed, and the locks of its closed connection, go with its last name, not with the next gc."""
    with timetracer.record(tmp_path / "x.json"):
        connection = sqlite3.connect(":memory:")
        cursor = connection.cursor()
        gone = weakref.ref(cursor)
        gc.disable()
        try:
            with contextlib.suppress(sqlite3.OperationalError):
                cursor.execute("nonsense")
            del cursor
            assert gone() is None
        finally:
            gc.enable()
            connection.close()
