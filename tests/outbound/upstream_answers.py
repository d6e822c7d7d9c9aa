"""The upstream's routes that answer as they should: bodies, headers, streams, encodings."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import zlib
from http import HTTPStatus

from tests.outbound.upstream_wire import Request, Wire, number, route

BLOCK = bytes(range(256)) * 256
TEXT = "the same text again and again, " * 40
PLAIN = b'{"compressed": true, "text": "' + TEXT.encode() + b'"}'
# PLAIN, compressed beforehand: the upstream needs neither library.
BROTLI = base64.b64decode("G/cE4I3EOBbyououpJJsr69FQFjKOuWAubKCtvvRL073lGVJlqmC8P3mm/qe5WoZWN0k0mGh9HMsbww=")
ZSTD = base64.b64decode(
    "KLUv/WD4AxUCAFQDeyJjb21wcmVzc2VkIjogdHJ1ZSwgInRleHQiOiAidGhlIHNhbWUgIGFnYWluIGFuZCwgIn0DALYI9XELopM1nw=="
)


@route("json")
async def json_(request: Request, wire: Wire, rest: str) -> None:
    await wire.json({"message": "hello", "number": 1, "text": "naïve ☃", "path": request.target})


@route("echo")
async def echo(request: Request, wire: Wire, rest: str) -> None:
    body = await wire.body()
    await wire.json(
        {
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "headers": [list(pair) for pair in request.headers],
            "body": body.decode("latin-1"),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    )


@route("text")
async def text(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(200, "line one\nline two\r\nnaïve ☃".encode(), [("Content-Type", "text/plain; charset=utf-8")])


@route("latin1")
async def latin1(request: Request, wire: Wire, rest: str) -> None:
    headers = [("Content-Type", "text/plain; charset=iso-8859-1"), ("X-Name", "naïve")]
    await wire.reply(200, "naïve".encode("latin-1"), headers)


@route("empty")
async def empty(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(200)


@route("bytes")
async def bytes_(request: Request, wire: Wire, rest: str) -> None:
    size = int(number(rest, 1024))
    body = (BLOCK * (size // len(BLOCK) + 1))[:size]
    await wire.reply(200, body, [("Content-Type", "application/octet-stream")])


@route("status")
async def status(request: Request, wire: Wire, rest: str) -> None:
    code = int(number(rest, 200))
    phrase = "" if code in set(HTTPStatus) else "Odd"
    await wire.reply(code, b'{"status": %d}' % code, [("Content-Type", "application/json")], reason=phrase)


@route("reason")
async def reason(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(200, b"fine", reason="Very Fine Indeed")


@route("no-content")
async def no_content(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(204, headers=[("X-Empty", "")])


@route("304")
async def not_modified(request: Request, wire: Wire, rest: str) -> None:
    await wire.reply(304, headers=[("ETag", '"v1"')])


@route("duplicate-headers")
async def duplicate_headers(request: Request, wire: Wire, rest: str) -> None:
    headers = [("X-Multi", "one"), ("Set-Cookie", "a=1; Path=/"), ("X-Other", "between"), ("x-multi", "two")]
    await wire.reply(200, b"dup", [*headers, ("Set-Cookie", "b=2; Path=/"), ("X-Multi", "three, four")])


@route("http10")
async def http10(request: Request, wire: Wire, rest: str) -> None:
    await wire.head(200, [("Content-Type", "text/plain")], version="HTTP/1.0")
    await wire.send(b"" if wire.head_only else b"ended by closing")
    await wire.close()


@route("1xx")
async def informational(request: Request, wire: Wire, rest: str) -> None:
    for code in (rest,) if rest else ("100", "103"):
        link = "Link: </style.css>; rel=preload\r\n" if code == "103" else ""
        await wire.send(f"HTTP/1.1 {code} {HTTPStatus(int(code)).phrase}\r\n{link}\r\n".encode())
    await wire.json({"after": rest or "100 and 103"})


# -- streams and encodings ---------------------------------------------------------------------------------------------


@route("stream")
async def stream(request: Request, wire: Wire, rest: str) -> None:
    delay = number(request.query.get("delay", ""), 0.002)
    await wire.start_chunks(headers=[("Content-Type", "text/plain")])
    for index in range(0 if wire.head_only else int(number(rest, 5))):
        await wire.chunk(b"chunk %d\n" % index)
        await asyncio.sleep(delay)
    await _end(wire)


@route("split-chunks")
async def split_chunks(request: Request, wire: Wire, rest: str) -> None:
    await wire.start_chunks()
    for part in () if wire.head_only else (b"8\r\nhalf", b"half\r\n5\r\nwhole\r\n3\r\ne", b"nd\r\n0\r\n\r\n"):
        await wire.send(part)
        await asyncio.sleep(0.03)


@route("sse")
async def sse(request: Request, wire: Wire, rest: str) -> None:
    delay = number(request.query.get("delay", ""), 0.002)
    await wire.start_chunks(headers=[("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
    for index in range(0 if wire.head_only else int(number(request.query.get("count", ""), 4))):
        await wire.chunk(f'id: {index}\nevent: tick\ndata: {{"index": {index}}}\ndata: second line\n\n'.encode())
        await asyncio.sleep(delay)
    await _end(wire)


@route("trailers")
async def trailers(request: Request, wire: Wire, rest: str) -> None:
    await wire.start_chunks(headers=[("Trailer", "X-Checksum")])
    if not wire.head_only:
        await wire.chunk(b"with trailers")
        await wire.end_chunks([("X-Checksum", "abc")])


async def _end(wire: Wire) -> None:
    if not wire.head_only:
        await wire.end_chunks()


@route("big")
async def big(request: Request, wire: Wire, rest: str) -> None:
    blocks = int(number(rest, 1)) * 1024 * 1024 // len(BLOCK)
    chunked = "chunked" in request.query
    kind = [("Content-Type", "application/octet-stream")]
    if chunked:
        await wire.start_chunks(headers=kind)
    else:
        await wire.head(200, [*kind, ("Content-Length", str(blocks * len(BLOCK)))])
    if wire.head_only:
        return
    for _ in range(blocks):
        await (wire.chunk(BLOCK) if chunked else wire.send(BLOCK))
    if chunked:
        await wire.end_chunks()


def _encoded(name: str, body: bytes) -> None:
    @route(name)
    async def answer(request: Request, wire: Wire, rest: str) -> None:
        await wire.reply(200, body, [("Content-Type", "application/json"), ("Content-Encoding", name)])


_encoded("gzip", gzip.compress(PLAIN, mtime=0))
_encoded("deflate", zlib.compress(PLAIN))
_encoded("br", BROTLI)
_encoded("zstd", ZSTD)
