"""HTTP/1.1 on the wire for the upstream: reads requests, writes answers byte by byte, right or wrong as asked."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, but for its body, which a route reads from the wire."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)


class Wire:
    """One connection: the request at its head, and the means to answer it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._request: Request | None = None
        self._body_read = True
        self.open = True

    @property
    def scheme(self) -> str:
        return "https" if self._writer.get_extra_info("ssl_object") else "http"

    # -- reading -------------------------------------------------------------------------------------------------------

    async def next_request(self) -> Request | None:
        """Read the head of the next request; None when the client has gone."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head[:-4].split("\r\n")
        method, target, version = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        self._request = Request(method, target, version, tuple((name, value.strip()) for name, _, value in pairs))
        self._body_read = False
        if version == "HTTP/1.0" or self._request.header("connection").lower() == "close":
            self.open = False
        return self._request

    async def body_chunks(self) -> AsyncIterator[bytes]:
        """Give the request's body as it arrives: the client's own chunks, or what a read brought."""
        request, self._body_read = self._request, True
        assert request is not None
        if request.header("expect").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.header("transfer-encoding").lower():
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await self._reader.readexactly(size)
                await self._reader.readexactly(2)
            while await self._reader.readuntil(b"\r\n") != b"\r\n":
                continue
            return
        left = int(request.header("content-length", "0"))
        while left:
            data = await self._reader.read(min(left, 65536))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield data

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.body_chunks()])

    async def read_exactly(self, size: int) -> bytes:
        """Read raw bytes, for a protocol that was switched to."""
        return await self._reader.readexactly(size)

    async def finish(self) -> None:
        """Read what the route left of the body, so that the next request starts where it should."""
        if not self._body_read and self.open:
            async for _ in self.body_chunks():
                continue

    # -- answering -----------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int, headers: Headers = (), *, reason: str = "", version: str = "HTTP/1.1") -> None:
        """Send status line and headers, these and no others but `Connection: close` where it is the last answer."""
        lines = [f"{version} {status} {reason or HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if not self.open and version == "HTTP/1.1":
            lines.append("Connection: close")
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def reply(self, status: int, body: bytes = b"", headers: Headers = (), *, reason: str = "") -> None:
        """Answer with a body of known length; a HEAD gets the same headers and no body."""
        length = () if status in (204, 304) or status < 200 else (("Content-Length", str(len(body))),)
        await self.head(status, (*headers, *length), reason=reason)
        if length and not self.head_only:
            await self.send(body)

    async def json(self, value: Any, status: int = 200, headers: Headers = ()) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        await self.reply(status, body, (("Content-Type", "application/json"), *headers))

    async def start_chunks(self, status: int = 200, headers: Headers = ()) -> None:
        await self.head(status, (*headers, ("Transfer-Encoding", "chunked")))

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end_chunks(self, trailers: Headers = ()) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        await self.send(b"0\r\n" + lines.encode("latin-1") + b"\r\n")

    async def tunnel(self, where: str) -> None:
        """Connect to `host:port` and hand on what comes from either side until one of them ends."""
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await self.send(b"HTTP/1.1 200 Connection established\r\nX-Proxy: upstream\r\n\r\n")
        self.open = False

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

        ways = [asyncio.ensure_future(pump(self._reader, writer)), asyncio.ensure_future(pump(reader, self._writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()

    @property
    def head_only(self) -> bool:
        return self._request is not None and self._request.method == "HEAD"

    async def close(self, *, hard: bool = False) -> None:
        """End the connection; `hard` resets it (RST) instead of ending it in order."""
        self.open = False
        if hard:
            raw: Any = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        self._writer.close()


Handler = Callable[[Request, Wire, str], Awaitable[None]]
ROUTES: dict[str, Handler] = {}


def route(name: str) -> Callable[[Handler], Handler]:
    """Register a handler for `/name` and everything below it."""

    def register(handler: Handler) -> Handler:
        ROUTES[name] = handler
        return handler

    return register


def number(text: str, default: float) -> float:
    """Read a number from a path or a query where it may be left out."""
    return float(text) if text else default
