"""Bodies that stream after the call itself returned: each step runs in the call's context, copied as it goes out."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from timetracer.plugin import Sink, Visit


class Outgoing:
    """A streamed response body: handed on as it is made, step by step in its call's context, and copied.

    It has the shape of what it stands for: sync or async, `close` and all.
    """

    def __init__(self, source: Any, visit: Visit) -> None:
        self._source, self._visit = source, visit
        self._sink: Sink = visit.body()

    def close(self) -> None:
        """Ends it where the client or server did."""
        self._sink.finish("partial")
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _failed(self, error: BaseException) -> None:
        self._sink.finish("error", error)
        self._visit.note(self._visit.error, error)

    def _keep(self, chunk: Any) -> None:
        self._sink.feed(chunk.encode() if isinstance(chunk, str) else chunk)


class OutgoingIterable(Outgoing):
    """One that is iterated."""

    def __init__(self, source: Iterable[Any], visit: Visit) -> None:
        super().__init__(source, visit)
        self._steps: Iterator[Any] = iter(source)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with self._visit.resume():
                chunk = next(self._steps)
        except StopIteration:
            self._sink.finish()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._visit.note(self._keep, chunk)
        return chunk


class OutgoingAsyncIterable(Outgoing):
    """One that is iterated asynchronously."""

    def __init__(self, source: AsyncIterable[Any], visit: Visit) -> None:
        super().__init__(source, visit)
        self._steps: AsyncIterator[Any] = aiter(source)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            with self._visit.resume():
                chunk = await anext(self._steps)
        except StopAsyncIteration:
            self._sink.finish()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._visit.note(self._keep, chunk)
        return chunk

    async def aclose(self) -> None:
        """Ends it where the client or server did."""
        self._sink.finish("partial")
        close = getattr(self._steps, "aclose", None)
        if close is not None:
            await close()
