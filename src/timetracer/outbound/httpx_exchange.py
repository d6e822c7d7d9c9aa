"""What httpx and its successor httpx2 share: one exchange is one call of a transport.

That is beneath redirects, authentication, cookies and hooks. Both libraries have the same transports and classes under
the same names; `transports` takes either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import msgspec

from timetracer.errors import UnsupportedError
from timetracer.outbound.http_message import RawHeaders, http_request
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request, Sink, Source, Upload

_SWITCHING = 101
_PLAIN = (bytes, int, str)


class CopiedStream:
    """A response's stream that copies each chunk as the app takes it."""

    def __init__(self, stream: Any, sink: Sink) -> None:
        self._stream, self._sink = stream, sink

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._sink.feed(chunk)
                yield chunk
        except BaseException as error:
            self._failed(error)
            raise
        self._sink.finish()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._sink.feed(chunk)
                yield chunk
        except BaseException as error:
            self._failed(error)
            raise
        self._sink.finish()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):
            self._sink.finish("partial")
        else:
            self._sink.finish("error", error)

    def close(self) -> None:
        """Ends the copy where the app stopped reading."""
        try:
            self._stream.close()
        finally:
            self._sink.finish("partial")

    async def aclose(self) -> None:
        """Ends the copy where the app stopped reading."""
        try:
            await self._stream.aclose()
        finally:
            self._sink.finish("partial")


class GivenStream:
    """A stream over something that is iterated: a recorded body, or an upload while it is copied.

    Args:
        original: the upload's own stream.
    """

    def __init__(self, chunks: Source | Any, original: Any = None) -> None:
        self._chunks: Any = chunks
        self.original = original

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._chunks)


class _Library(msgspec.Struct, frozen=True):
    """httpx or httpx2, and the streams that it takes for its own."""

    module: Any
    copied: type
    given: type

    def describe(self, call: Call) -> Request:
        """Describes what the transport is to send."""
        request = call.arg(0, "request")
        return http_request(
            request.method, str(request.url), RawHeaders(tuple(request.headers.raw)), self._body(request)
        )

    def _body(self, request: Any) -> bytes | Upload:
        try:
            content: bytes = request.content
        except self.module.RequestNotRead:
            original: Any = request.stream

            def replace(stream: Any) -> None:
                request.stream = self.given(stream, original)

            return Upload(original, replace)
        return content

    def encode(self, call: Call, response: Any, capture: Capture) -> Any:
        """Keeps the head, and copies the body while the app reads it."""
        _give_stream_back(call)
        # https://www.python-httpx.org/advanced/extensions/#response-extensions; `network_stream` is a live socket.
        kept = {key: value for key, value in response.extensions.items() if isinstance(value, _PLAIN)}
        capture.reply(kept, status=response.status_code, headers=RawHeaders(tuple(response.headers.raw)))
        sink = capture.body()
        if response.status_code == _SWITCHING:
            sink.finish()  # from here on it is a conversation on a socket, which goes on untouched
        else:
            response.stream = self.copied(response.stream, sink)
        return response

    def decode(self, call: Call, reply: Reply) -> Any:
        """Builds the response anew over the recorded body."""
        if reply.status == _SWITCHING:
            raise UnsupportedError("websockets are recorded as passed through, and cannot be replayed")
        return self.module.Response(
            reply.status or 0,
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers],
            stream=self.given(reply.body),
            extensions=reply.value,
        )

    def decode_error(self, call: Call, error: Any) -> BaseException:
        """Gives the error the request it was raised for, as the client does."""
        if isinstance(error, self.module.RequestError):
            error.request = call.arg(0, "request")
        return error  # type: ignore[no-any-return]


def _give_stream_back(call: Call) -> None:
    request = call.arg(0, "request")
    if isinstance(request.stream, GivenStream) and request.stream.original is not None:
        request.stream = request.stream.original


def encode_error(call: Call, error: BaseException) -> BaseException:
    """Gives the request its own stream back: a redirect or the app may send it again."""
    _give_stream_back(call)
    return error


def transports(module: ModuleType, requirement: str) -> Plugin:
    """Returns the plugin for the transports of `module`, httpx or httpx2."""
    streams = (module.SyncByteStream, module.AsyncByteStream)
    library = _Library(
        module,
        copied=type("CopiedStream", (CopiedStream, *streams), {}),
        given=type("GivenStream", (GivenStream, *streams), {}),
    )
    send = Exchange(describe=library.describe, encode=library.encode, decode=library.decode)
    name = module.__name__
    return Plugin(
        name=name,
        kind="http",
        library=requirement,
        patches=(
            Patch(f"{name}:HTTPTransport.handle_request", send),
            Patch(f"{name}:AsyncHTTPTransport.handle_async_request", send),
        ),
        encode_error=encode_error,
        decode_error=library.decode_error,
    )
