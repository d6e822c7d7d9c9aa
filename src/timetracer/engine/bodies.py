"""Bodies and rows that outlive their call: copied while the app reads them, and given back the way they were read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

from opentelemetry import context

from timetracer import values
from timetracer.cassette.model import Body, Items
from timetracer.engine.guard import guard, guarded
from timetracer.engine.measures import MEASURES
from timetracer.errors import Exhausted
from timetracer.plugin import BodyEnd, Value

PACE_SECONDS = 0.001
"""A body that came faster than this in all has no pace worth noting."""


class Budget(Protocol):
    """Counts the bytes that are held in memory, from the first copied chunk to the disk."""

    def add_bytes(self, size: int) -> bool:
        """Counts bytes that are kept from now on; False where there is no room, and then they must not be kept."""

    def release_bytes(self, size: int) -> None:
        """Frees bytes that were counted."""


class Copy:
    """The sink of one body or one sequence of rows, while it is recorded.

    Args:
        limit: bytes to keep of it at most.
        budget: bytes to keep over all.
        done: called once, when it ends; it raises nothing.
        paced: notes when each chunk came.
    """

    __slots__ = ("began", "budget", "done", "end", "error", "first", "items", "limit", "overflow", "size", "times")

    def __init__(
        self, limit: int, budget: Budget, done: Callable[[], None] | None = None, *, paced: bool = False
    ) -> None:
        self.items: list[Value] = []
        self.size = 0
        self.end: BodyEnd | None = None
        self.error: BaseException | None = None
        self.overflow = False
        self.limit, self.budget, self.done = limit, budget, done
        self.began = time.perf_counter() if paced else 0.0
        self.first = 0.0
        self.times: list[float] | None = None  # from the second chunk on: most bodies come in one

    def _spoil(self, items: Value) -> None:
        """Notes that what came could not be kept."""
        self.overflow = True

    @guarded("keeping a body", failed=_spoil)
    def feed(self, item: Value) -> None:
        """Keeps a chunk or an item, unless it ended or there is no room."""
        size = len(item) if isinstance(item, (bytes, bytearray, memoryview, str)) else 64
        if size and self._has_room(size):
            if self.began:
                if self.items:
                    self._note_time()
                else:
                    self.first = time.perf_counter()
            self.items.append(bytes(item) if isinstance(item, (bytearray, memoryview)) else item)

    def _note_time(self) -> None:
        if self.times is None:
            self.times = [self.began, self.first]
        self.times.append(time.perf_counter())

    @guarded("keeping rows", failed=_spoil)
    def feed_all(self, items: Sequence[Value]) -> None:
        """Keeps several items (rows) at once, or none of them."""
        if self._has_room(64 * len(items)):
            self.items.extend(items)

    def _has_room(self, size: int) -> bool:
        """Counts so many bytes, unless it ended, or notes that there is no room for them."""
        if self.end is not None or self.overflow:
            return False
        if self.size + size > self.limit or not self.budget.add_bytes(size):
            self.overflow = True
            MEASURES.dropped_bodies += 1
            return False
        self.size += size
        return True

    def restart(self) -> None:
        """Forgets what was copied: the body is sent again from its start (a redirect, a retry)."""
        with guard("keeping a body"):
            self.budget.release_bytes(self.size)
            self.items, self.size, self.overflow, self.end, self.error, self.times = [], 0, False, None, None, None

    def finish(self, end: BodyEnd = "complete", error: BaseException | None = None) -> None:
        """Ends it once; an end that comes later does not count."""
        if self.end is None:
            self.end, self.error = end, error
            if self.done is not None:
                done, self.done = self.done, None
                done()

    @property
    def why_incomplete(self) -> str | None:
        """Why this cannot be given back in full, or None."""
        return f"body over the limit: {self.size} bytes kept" if self.overflow else None

    def body(self, *, unread: bool = False) -> Body | None:
        """The copied bytes as a cassette's body, still raw; None for none at all.

        Args:
            unread: a body that nobody began to read is noted as such.
        """
        if not self.items and not self.overflow and (self.end == "complete" or (self.end is None and not unread)):
            return None
        error = None if self.error is None else values.encode(self.error)
        chunks = [c.encode() if isinstance(c, str) else c for c in self.items]
        return Body(raw=chunks, end=self._end(), error=error, gaps=self._gaps())

    def _gaps(self) -> list[float] | None:
        times = self.times
        if times is None or times[-1] - times[0] < PACE_SECONDS:
            return None
        return [round((after - before) * 1000, 1) for before, after in pairwise(times)]

    def rows(self) -> Items:
        """The copied items as a cassette's items."""
        error = None if self.error is None else values.encode(self.error)
        return Items(values=[values.encode(v) for v in self.items], end=self._end(), error=error)

    def _end(self) -> BodyEnd:
        return "partial" if self.overflow else self.end or "partial"


class CopyingStream:
    """Stands where an upload's source stood: hands on what it reads, as it is read, and copies it.

    App code that runs inside (a body generator) runs in the context the call was made in, so that calls it makes are
    its own and not those of the client beneath which it runs.
    """

    def __init__(self, source: Any, sink: Copy) -> None:
        self._source, self._sink, self._outer = source, sink, context.get_current()

    @contextmanager
    def _app(self) -> Iterator[None]:
        token = context.attach(self._outer)
        try:
            yield
        finally:
            context.detach(token)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except GeneratorExit:
            self._sink.finish("partial")
            raise
        except BaseException as error:
            self._sink.finish("error", error)
            raise
        self._sink.finish()

    def __iter__(self) -> Iterator[Any]:
        self._sink.restart()
        with self._watched():
            with self._app():
                source = iter(self._source)
            while True:
                with self._app():
                    chunk = next(source, None)
                if chunk is None:
                    return
                self._sink.feed(chunk)
                yield chunk

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._sink.restart()
        with self._watched():
            source = aiter(self._source)
            while True:
                with self._app():
                    chunk = await anext(source, None)
                if chunk is None:
                    return
                self._sink.feed(chunk)
                yield chunk

    def __getattr__(self, name: str) -> Any:
        """Whatever else a file has (`fileno`, `name`, `tell`) is the source's own."""
        found = getattr(self._source, name)
        if name in ("read", "readline", "readinto"):
            return self._reading(name, found)
        if name == "seek":
            self._sink.restart()
        return found

    def _reading(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def read(*args: Any) -> Any:
            with self._app():
                data = real(*args)
            self._sink.feed(memoryview(args[0])[:data] if name == "readinto" else data)
            if not data:
                self._sink.finish()
            return data

        return read


class Recorded:
    """A recorded body or sequence of rows as a `Source`: item by item, then what ended it.

    Args:
        missed: keeps a miss, and returns it; raised where more is asked for than was read when this was recorded.
        gaps: seconds that lay before each item, the first one counted from here; none for no waiting. An app that took
            its time over an item does not wait for it again.
        linger: seconds to wait to be cancelled, where a cancellation ended it.
    """

    def __init__(
        self,
        items: list[Value],
        end: BodyEnd = "complete",
        error: BaseException | None = None,
        *,
        missed: Callable[[Exhausted], BaseException] = lambda miss: miss,
        gaps: Sequence[float] = (),
        linger: float = 1.0,
    ) -> None:
        self._items, self.end, self._error, self._at = items, end, error, 0
        self._gaps, self._linger, self._missed = gaps, linger, missed
        self._miss: BaseException | None = None
        self._due = time.perf_counter() if gaps else 0.0

    def _next(self) -> tuple[float, Value]:
        wait = 0.0
        if self._at < len(self._gaps):
            self._due += self._gaps[self._at]
            wait = max(0.0, self._due - time.perf_counter())
        self._at += 1
        return wait, self._items[self._at - 1]

    def __iter__(self) -> Iterator[Value]:
        while self._at < len(self._items):
            wait, item = self._next()
            if wait:
                time.sleep(wait)
            yield item
        self._stop()

    async def __aiter__(self) -> AsyncIterator[Value]:
        while self._at < len(self._items):
            wait, item = self._next()
            if wait:
                await asyncio.sleep(wait)
            yield item
        if isinstance(self._error, asyncio.CancelledError):
            await asyncio.sleep(self._linger)
        self._stop()

    def read(self) -> bytes:
        """Returns all that is left as one piece."""
        return b"".join(self)

    def _stop(self) -> None:
        if self._error is not None:
            raise self._error
        if self.end != "complete":
            self._miss = self._miss or self._missed(
                Exhausted(
                    f"the app read {len(self._items)} pieces of this body when it was recorded, and now asks for more",
                    reason="already consumed",
                )
            )
            raise self._miss


def drain(source: Iterable[Any]) -> bytes:
    """Reads an upload to its end, for matching."""
    if hasattr(source, "read"):
        data = source.read()
        return data.encode() if isinstance(data, str) else bytes(data)
    return b"".join(c.encode() if isinstance(c, str) else bytes(c) for c in source)


async def adrain(source: AsyncIterable[Any] | Iterable[Any]) -> bytes:
    """Reads an upload to its end, for matching, where it may be an async iterable."""
    if isinstance(source, AsyncIterable):
        return b"".join([c.encode() if isinstance(c, str) else bytes(c) async for c in source])
    return drain(source)
