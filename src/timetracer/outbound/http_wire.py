"""An HTTP response as `http.client` reads it: copied at its file, and made anew over a recorded body.

Everything above reads through `http.client.HTTPResponse.fp`: urllib3, requests, botocore and `urllib.request`. The copy
holds the body's own bytes: chunked framing is taken off, and put on again for the reader.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from typing import Any

from timetracer.outbound.http_message import RawHeaders
from timetracer.plugin import Headers, Reply, Sink, Source


class Unchunker:
    """Takes the framing off a chunked body, in pieces as they are read.

    https://www.rfc-editor.org/rfc/rfc9112#section-7.1
    """

    def __init__(self) -> None:
        self.left = 0  # bytes of the chunk that are still to come
        self.done = False
        self.broken = False
        self._line = b""
        self._end = b""  # the last chunk's line and the trailers, or what is no chunk's line
        self._reads: Callable[[bytes], None] = self._size

    @property
    def rest(self) -> bytes:
        """What came of the framing since the last whole chunk: all that the reader had of an end that never came."""
        return b"%x\r\n" % self.left if self.left else self._end + self._line

    def take(self, data: bytes, feed: Callable[[bytes], None]) -> None:
        """Takes raw bytes and feeds what belongs to the body."""
        while data and not self.done:
            if self.left:
                feed(data[: self.left])
                self.left, data = max(0, self.left - len(data)), data[self.left :]
                if not self.left:
                    self._reads = self._chunk_end
                continue
            head, end, data = data.partition(b"\n")
            self._line += head + end
            if end:
                line, self._line = self._line, b""
                self._reads(line)

    def _size(self, line: bytes) -> None:
        try:
            self.left = int(line.split(b";")[0], 16)
        except ValueError:
            self.broken = self.done = True  # `http.client` is about to say so
        if not self.left:
            self._end, self._reads = line, self._trailer

    def _chunk_end(self, line: bytes) -> None:
        self._reads = self._size

    def _trailer(self, line: bytes) -> None:
        self._end += line
        self.done = not line.strip()


class Truncated(EOFError):
    """Ends the copy of a chunked body that does not end as it should: its sender went away, or sent no chunk.

    Args: what came after the last chunk that is in the copy, with its framing.
    """


class CopyingFile:
    """Stands where `HTTPResponse.fp` stood: hands on what is read, as it is read, and copies it."""

    def __init__(self, file: Any, response: http.client.HTTPResponse, sink: Sink) -> None:
        self._file, self._response, self._sink = file, response, sink
        self._chunks = Unchunker() if response.chunked else None
        self._ended = False
        self._cut = b""

    def _reading(self, read: Callable[[int], bytes], size: int | None, *, whole: bool = False) -> bytes:
        size = -1 if size is None else size
        try:
            data = read(size)
        except BaseException as error:
            self._sink.finish("error", error)
            raise
        self._ended = self._ended or (len(data) < size or size < 0 if whole else not data and size != 0)
        if self._chunks is None:
            self._sink.feed(data)
        elif whole and self._ended and self._chunks.left > len(data):
            self._cut = data  # the sender went away within a chunk: what came of it is part of the error
        else:
            self._chunks.take(data, self._sink.feed)
        if self._ended:
            self._finish()  # `http.client` does not close what broke off
        return data

    def read(self, size: int | None = -1) -> bytes:
        """Reads as the file does; only at its end does a file give less than was asked for."""
        return self._reading(self._file.read, size, whole=True)

    def read1(self, size: int | None = -1) -> bytes:
        """Reads what one call to the socket gives."""
        return self._reading(self._file.read1, size)

    def readline(self, limit: int | None = -1) -> bytes:
        """Reads one line."""
        return self._reading(self._file.readline, limit)

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Ends the copy: whole, left by the app, or cut off by the sender."""
        self._file.close()
        self._finish()

    def _finish(self) -> None:
        if self._chunks is not None:
            if self._chunks.done and not self._chunks.broken:
                self._sink.finish()
            elif self._ended or self._chunks.broken:
                self._sink.finish("error", Truncated(self._chunks.rest + self._cut))
            else:
                self._sink.finish("partial")
        elif self._ended or not _missing(self._response):
            self._sink.finish()  # cut off or not: its reader compares with Content-Length and says so
        else:
            self._sink.finish("partial")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _missing(response: http.client.HTTPResponse) -> bool:
    # `length` counts down as bytes are read; None: until the connection closes
    # https://github.com/python/cpython/blob/3.13/Lib/http/client.py (HTTPResponse.read)
    return response.length is None or response.length > 0


def copy_body(response: http.client.HTTPResponse | None, sink: Sink) -> None:
    """Copies a response's body into `sink` while it is read."""
    file = getattr(response, "fp", None)
    if response is None or file is None or response.length == 0:
        sink.finish()
        return
    response.fp = CopyingFile(file, response, sink)  # type: ignore[assignment]


def wire_headers(response: Any) -> RawHeaders:
    """Returns the headers of an `http.client` response as they came: order, case and duplicates kept.

    Its parser makes text of latin-1, so `items` would find nothing to sanitize, at 1.5 us a header:
    https://github.com/python/cpython/blob/3.13/Lib/email/_policybase.py (Compat32.header_fetch_parse).
    """
    return RawHeaders(tuple(response.msg.raw_items()))


# ------------------------------------------------------------------------------------------------------------ rebuilt


class _Raw(io.RawIOBase):
    """A recorded response as a raw file: its head, then one chunk a read, then what ended it."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._part = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._part:
            try:
                self._part = next(self._parts)
            except StopIteration:
                return 0
        view = memoryview(buffer).cast("B")
        taken = self._part[: len(view)]
        view[: len(taken)] = taken
        self._part = self._part[len(taken) :]
        return len(taken)


class _Socket:
    """As much of a socket as `HTTPResponse` asks for."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._parts))


def answer_file(reply: Reply, *, reason: str, version: int) -> io.BufferedReader:
    """Returns a recorded answer as the file that `http.client` parses it from: its head, then its body."""
    lines = [f"HTTP/{version // 10}.{version % 10} {reply.status} {reason}", *(f"{n}: {v}" for n, v in reply.headers)]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    chunked = any(n.lower() == "transfer-encoding" and v.lower() == "chunked" for n, v in reply.headers)

    def parts() -> Iterator[bytes]:
        yield head
        yield from _framed(reply.body) if chunked else reply.body

    return io.BufferedReader(_Raw(parts()))


def error_file(error: BaseException) -> io.BufferedReader:
    """Returns a file that raises an error where an answer would be read."""

    class Failing(_Raw):
        def readinto(self, buffer: Any) -> int:
            raise error

    return io.BufferedReader(Failing(iter(())))


def response_over(
    body: Source, *, status: int, reason: str, version: int, headers: Headers, method: str
) -> http.client.HTTPResponse:
    """Returns a response whose head is read and whose body is the recorded one."""

    def parts() -> Iterator[bytes]:
        yield from _framed(body) if response.chunked else body

    response: Any = http.client.HTTPResponse(_Socket(parts()), method=method)  # type: ignore[arg-type]
    response.code = response.status = status
    response.reason, response.version = reason.strip(), version
    response.headers = response.msg = _message(headers)
    _begin(response, method)
    return response  # type: ignore[no-any-return]


def _message(headers: Headers) -> http.client.HTTPMessage:
    message = http.client.HTTPMessage()
    for key, value in headers:
        message[key] = value
    return message


def _begin(response: Any, method: str) -> None:
    """Settles where the body ends. `begin` would parse the head from text for it, which took 80 us of 200.

    Upstream: https://github.com/python/cpython/blob/3.13/Lib/http/client.py (HTTPResponse.begin)
    """
    message = response.headers
    response.chunked = (message.get("transfer-encoding") or "").lower() == "chunked"
    response.chunk_left = None
    response.will_close = response._check_close()
    response.length = None
    length = message.get("content-length") or ""
    if length.isdecimal() and not response.chunked:
        response.length = int(length)
    if response.status in (204, 304) or 100 <= response.status < 200 or method == "HEAD":
        response.length = 0
    if not response.will_close and not response.chunked and response.length is None:
        response.will_close = True


def _framed(body: Source) -> Iterator[bytes]:
    try:
        for chunk in body:
            yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    except Truncated as cut:
        yield cut.args[0]
        return
    yield b"0\r\n\r\n"
