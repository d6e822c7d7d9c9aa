"""The upstream's routes whose answers are no HTTP, or hardly: what a client's own parser has to cope with."""

from __future__ import annotations

from tests.outbound.upstream_wire import Request, Wire, route

_CALLED = b"""<?xml version='1.0'?><methodResponse><params><param><value><array><data>
<value><int>7</int></value><value><string>seven</string></value></data></array></value></param></params>
</methodResponse>"""
_FAILED = b"""<?xml version='1.0'?><methodResponse><fault><value><struct>
<member><name>faultCode</name><value><int>4</int></value></member>
<member><name>faultString</name><value><string>no such method</string></value></member>
</struct></value></fault></methodResponse>"""


async def _raw(wire: Wire, data: bytes) -> None:
    await wire.send(data)
    await wire.close()


@route("garbage")
async def garbage(request: Request, wire: Wire, rest: str) -> None:
    await _raw(wire, b"this is not HTTP at all\r\n\r\n")


@route("other-protocol")
async def other_protocol(request: Request, wire: Wire, rest: str) -> None:
    await _raw(wire, b"HTTP/3.1 200 OK\r\n\r\n")


@route("long-header")
async def long_header(request: Request, wire: Wire, rest: str) -> None:
    await _raw(wire, b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n")


@route("many-headers")
async def many_headers(request: Request, wire: Wire, rest: str) -> None:
    await _raw(wire, b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(120)) + b"\r\n")


@route("odd-head")
async def odd_head(request: Request, wire: Wire, rest: str) -> None:
    await _raw(wire, b"HTTP/1.1 200\r\nX-Folded: one\r\n  two\r\nX-Empty:\r\nConnection: close\r\n\r\nodd")


@route("odd-chunks")
async def odd_chunks(request: Request, wire: Wire, rest: str) -> None:
    broken = {
        "size": b"no size\r\nlost\r\n0\r\n\r\n",
        "middle": b"9\r\nhalf",
        "no-trailer": b"0\r\n",
        "half-trailer": b"0\r\nX-Half: tr",
        "half-size": b"1",
    }
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    await _raw(wire, head if wire.head_only else head + b"5\r\nwhole\r\n" + broken[rest])


@route("xmlrpc")
async def xmlrpc(request: Request, wire: Wire, rest: str) -> None:
    asked = await wire.body()
    await wire.reply(200, _CALLED if b"<methodName>seven<" in asked else _FAILED, [("Content-Type", "text/xml")])
