"""httpx: one exchange is one call of a transport, beneath redirects, authentication, cookies and hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from timetracer.outbound.http_message import http_request
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request, Sink, Source, Upload


class CopiedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's stream that copies each chunk as the app takes it."""

    def __init__(self, stream: Any, sink: Sink) -> None:
        self._stream, self._sink = stream, sink

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

    def __iter__(self) -> Iterator[bytes]:
        with self._watched():
            for chunk in self._stream:
                self._sink.feed(chunk)
                yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._watched():
            async for chunk in self._stream:
                self._sink.feed(chunk)
                yield chunk

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


class GivenStream(httpx.SyncByteStream, httpx.AsyncByteStream):
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


def describe(call: Call) -> Request:
    """Describes what the transport is to send."""
    request: httpx.Request = call.arg(0, "request")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    return http_request(request.method, str(request.url), headers, _body(request))


def _body(request: httpx.Request) -> bytes | Upload:
    try:
        return request.content
    except httpx.RequestNotRead:
        original: Any = request.stream

        def replace(stream: Any) -> None:
            request.stream = GivenStream(stream, original)

        return Upload(original, replace)


def _give_stream_back(call: Call) -> None:
    request: httpx.Request = call.arg(0, "request")
    if isinstance(request.stream, GivenStream) and request.stream.original is not None:
        request.stream = request.stream.original


def encode(call: Call, response: httpx.Response, capture: Capture) -> httpx.Response:
    """Keeps the head, and copies the body while the app reads it."""
    _give_stream_back(call)
    # https://www.python-httpx.org/advanced/extensions/#response-extensions; `network_stream` is a live socket.
    kept = {key: value for key, value in response.extensions.items() if isinstance(value, bytes | int | str)}
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
    capture.reply(kept, status=response.status_code, headers=headers)
    response.stream = CopiedStream(response.stream, capture.body())
    return response


def decode(call: Call, reply: Reply) -> httpx.Response:
    """Builds the response anew over the recorded body."""
    return httpx.Response(
        reply.status or 0,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers],
        stream=GivenStream(reply.body),
        extensions=reply.value,
    )


def encode_error(call: Call, error: BaseException) -> BaseException:
    """Gives the request its own stream back: a redirect or the app may send it again."""
    _give_stream_back(call)
    return error


def decode_error(call: Call, error: Any) -> BaseException:
    """Gives the error the request it was raised for, as the client does."""
    if isinstance(error, httpx.RequestError):
        error.request = call.arg(0, "request")
    return error  # type: ignore[no-any-return]


_SEND = Exchange(describe=describe, encode=encode, decode=decode)

PLUGIN = Plugin(
    name="httpx",
    kind="http",
    library="httpx>=0.24,<1",
    patches=(
        Patch("httpx:HTTPTransport.handle_request", _SEND),
        Patch("httpx:AsyncHTTPTransport.handle_async_request", _SEND),
    ),
    encode_error=encode_error,
    decode_error=decode_error,
)
