"""aiohttp's bodies: copied while the app reads or sends them, and read again from what was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import nullcontext
from typing import Any

import wrapt
from aiohttp import ClientConnectionError, ClientOSError, ClientRequest, StreamReader

from timetracer.plugin import Sink, Source

# ------------------------------------------------------------------------------------------------------------ answers


class LateEnd(Exception):
    """Ends the copy of a chunked body whose app saw that the last chunk came before its end did."""


class CopyingReader(wrapt.ObjectProxy[Any]):
    """A response's reader that copies what the app takes; back-pressure, limits and the end stay the real reader's."""

    def __init__(self, reader: StreamReader, sink: Sink, inside: list[int]) -> None:
        super().__init__(reader)
        self._self_sink = sink
        self._self_copied, self._self_inside = 0, inside  # which pieces end inside a chunk, as the app was told
        self._self_unread = 0  # bytes that were put back, and are copied already
        self._self_cancelled: BaseException | None = None
        self._self_read = False  # to its end

    def _took(self, data: bytes) -> bytes:
        self._self_cancelled = None
        if len(data) > self._self_unread:
            self._self_sink.feed(data[self._self_unread :])
            self._self_copied += 1
        self._self_unread = max(0, self._self_unread - len(data))
        if self.__wrapped__.at_eof():
            self._self_read = True
            self._self_sink.finish()
        return data

    async def _taking(self, reading: Awaitable[Any]) -> Any:
        try:
            return await reading
        except asyncio.CancelledError as error:
            self._self_cancelled = error  # the app may read on
            raise
        except BaseException as error:
            self._self_sink.finish("error", error)
            raise

    async def read(self, n: int = -1) -> bytes:
        return self._took(await self._taking(self.__wrapped__.read(n)))

    async def readany(self) -> bytes:
        return self._took(await self._taking(self.__wrapped__.readany()))

    async def readexactly(self, n: int) -> bytes:
        return self._took(await self._taking(self.__wrapped__.readexactly(n)))

    async def readline(self, **options: Any) -> bytes:
        return self._took(await self._taking(self.__wrapped__.readline(**options)))

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        return self._took(await self._taking(self.__wrapped__.readuntil(separator, **options)))

    async def readchunk(self) -> tuple[bytes, bool]:
        data, ended = await self._taking(self.__wrapped__.readchunk())
        if ended and not data and self.__wrapped__.at_eof():
            self._self_sink.finish("error", LateEnd())
        if data and not ended:
            self._self_inside.append(self._self_copied)
        return self._took(data), ended

    def read_nowait(self, n: int = -1) -> bytes:
        return self._took(self.__wrapped__.read_nowait(n))

    def unread_data(self, data: bytes) -> None:
        self._self_unread += len(data)
        self.__wrapped__.unread_data(data)

    # The iterators call the reader that they were asked of.

    def __aiter__(self) -> Any:
        reader: Any = self
        return StreamReader.__aiter__(reader)

    def iter_chunked(self, n: int) -> Any:
        reader: Any = self
        return StreamReader.iter_chunked(reader, n)

    def iter_any(self) -> Any:
        reader: Any = self
        return StreamReader.iter_any(reader)

    def iter_chunks(self) -> Any:
        reader: Any = self
        return StreamReader.iter_chunks(reader)

    # The app is done with it, or was never: a released response sets an exception on its reader.

    def set_exception(self, *args: Any) -> None:
        self._left()
        self.__wrapped__.set_exception(*args)

    def __del__(self) -> None:
        self._left()

    def _left(self) -> None:
        if self._self_read:
            return
        if self._self_cancelled is not None:
            self._self_sink.finish("error", self._self_cancelled)
        self._self_sink.finish("complete" if self.__wrapped__.at_eof() else "partial")


class _Protocol:
    """As much of a protocol as a reader tells about its buffer."""

    connected = True
    _reading_paused = False  # looked at by 3.12

    def pause_reading(self) -> None:
        """Nothing flows by itself."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing flows by itself."""


class RecordedReader(StreamReader):
    """A reader that is fed one recorded chunk each time it would wait for the network."""

    def __init__(
        self,
        body: Source,
        *,
        limit: int,
        timer: Any,
        loop: asyncio.AbstractEventLoop,
        chunked: bool,
        inside: Collection[int],
    ) -> None:
        # Live the total timeout ends with the last byte that comes, here with the last that is read: it counts only
        # where the body did not come whole.
        counts = timer if body.end == "error" else None
        super().__init__(_Protocol(), limit, timer=counts, loop=loop)  # type: ignore[arg-type]
        self._complete, self._chunked = body.end == "complete", chunked
        self._given, self._inside = 0, inside
        self._ended_by: Any = counts or nullcontext()
        self._chunks = aiter(body)
        self._next: asyncio.Task[bytes | None] | None = None

    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/streams.py (StreamReader._wait)
    async def _wait(self, func_name: str) -> None:
        try:
            with self._ended_by:
                chunk = await (self._next or self._pull())
        except LateEnd:
            self.begin_http_chunk_receiving()
            self.end_http_chunk_receiving()  # as aiohttp's parser does for the empty chunk at the end
            chunk = None
        except Exception as error:
            self.set_exception(error)
            raise
        if chunk is None:
            self.feed_eof()
            return
        if self._chunked:
            self.begin_http_chunk_receiving()
        self.feed_data(chunk)
        if self._chunked and self._given not in self._inside:
            self.end_http_chunk_receiving()
        self._given += 1
        if self._complete:
            # The network tells with the last bytes that they are the last.
            self._next = asyncio.create_task(self._pull())
            await asyncio.sleep(0)
            if self._next.done() and self._next.result() is None:
                self.feed_eof()

    async def _pull(self) -> bytes | None:
        return await anext(self._chunks, None)

    async def wait_eof(self) -> None:
        """Takes all there is: nothing comes by itself."""
        while not self.is_eof():
            await self._wait("wait_eof")


# ------------------------------------------------------------------------------------------------------------ uploads


class Written:
    """What a payload writes, as a source. While it is sent, its chunks pass through `read` on their way."""

    def __init__(self, payload: Any, request: ClientRequest) -> None:
        self._payload, self._request = payload, request

    def read(self, chunk: bytes) -> bytes:
        """Returns what it is given: a copy of this source copies what passes."""
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        writer = _Collected()
        try:
            await self._payload.write(writer)
        # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client_reqrep.py (ClientRequest.write_bytes)
        except OSError as error:
            if error.errno is None and isinstance(error, TimeoutError):
                raise
            raise ClientOSError(error.errno, f"Can not write request body for {self._request.url}") from error
        except Exception as error:
            to = f"Connection<{self._request.connection_key}>"
            text = f"Failed to send bytes into the underlying connection {to}: {error!r}"
            raise ClientConnectionError(text) from error
        for chunk in writer.chunks:
            yield chunk


class _Collected:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def write(self, chunk: Any, **options: Any) -> None:
        self.chunks.append(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.chunks.append(chunk)

    async def drain(self) -> None:
        """Everything is taken at once."""


class Payload(wrapt.ObjectProxy[Any]):
    """An upload's payload that copies what it writes."""

    def __init__(self, payload: Any, stream: Any) -> None:
        super().__init__(payload)
        self._self_stream = stream

    async def write(self, writer: Any) -> None:
        """Writes the whole payload."""
        await self.__wrapped__.write(_Writer(writer, self._self_stream))
        self._self_stream.read(b"")

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """Writes as much of the payload as was announced."""
        await self.__wrapped__.write_with_length(_Writer(writer, self._self_stream), content_length)
        self._self_stream.read(b"")


class _Writer(wrapt.ObjectProxy[Any]):
    """A request's writer, past which the chunks are copied."""

    def __init__(self, writer: Any, stream: Any) -> None:
        super().__init__(writer)
        self._self_stream = stream

    async def write(self, chunk: Any, **options: Any) -> None:
        if len(chunk):
            self._self_stream.read(bytes(chunk))
        await self.__wrapped__.write(chunk, **options)
