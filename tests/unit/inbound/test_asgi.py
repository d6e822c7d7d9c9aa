"""The ASGI door, asked in process: what passes, when it passes, and what a cassette keeps of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import timetracer
from timetracer.cassette.bodies import unpack
from timetracer.cassette.model import Inbound
from timetracer.cassette.store import find_cassettes, read_cassette
from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.engine.unseen import NOBODY
from timetracer.inbound.asgi import Middleware

Kept = Callable[[], list[Inbound]]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Records this process; called, it stops and returns what came in."""
    timetracer.start(TraceConfig(mode="record", cassette_dir=str(tmp_path), secrets="keep"))

    def stop() -> list[Inbound]:
        timetracer.stop()
        cassettes = [read_cassette(path) for path in find_cassettes(tmp_path)]
        return [c.inbound for c in cassettes if c.inbound is not None]

    yield stop
    timetracer.stop()


def scope(**more: Any) -> dict[str, Any]:
    """A request as a server describes it."""
    headers = [(b"Host", b"localhost"), (b"X-A", b"1"), (b"X-A", b"2"), (b"content-length", b"6")]
    described: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http"}
    described |= {"path": "/a b", "raw_path": b"/a%20b", "query_string": b"q=%C3%A9"}
    return {**described, "headers": headers, "extensions": {}, **more}


class Server:
    """Gives an application messages and takes its answers; says in which order both were."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages, self.order, self.sent = list(messages), [], []

    async def receive(self) -> dict[str, Any]:
        self.order.append("receive")
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.order.append("send")
        self.sent.append(message)


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-b", b"1"), (b"x-b", b"2")]}


def piece(body: bytes, more: bool = True, kind: str = "http.response.body") -> dict[str, Any]:
    """One message with a part of a body."""
    return {"type": kind, "body": body, "more_body": more}


def asked(body: bytes, more: bool = True) -> dict[str, Any]:
    """One message with a part of the request's body."""
    return piece(body, more, "http.request")


def test_bodies_pass_in_the_order_in_which_the_application_asks(kept: Kept) -> None:
    """Nothing is received before the application asks, nothing sent later than it sends; the very messages pass."""
    server = Server(asked(b"one"), asked(b"two", more=False))
    first, last = piece(b"three"), piece(b"four", more=False)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        seen.append(await receive())
        await send(first)
        seen.append(await receive())
        await send(last)

    messages = list(server.messages)
    asyncio.run(Middleware(app, door)(scope(), server.receive, server.send))
    assert server.order == ["send", "receive", "send", "receive", "send"]
    assert [id(m) for m in seen] == [id(m) for m in messages]
    assert [id(m) for m in server.sent] == [id(START), id(first), id(last)]
    (inbound,) = kept()
    assert inbound.target == "/a%20b?q=%C3%A9"
    assert inbound.request.headers == [("Host", "localhost"), ("X-A", "1"), ("X-A", "2"), ("content-length", "6")]
    assert inbound.request.body is not None
    assert unpack(inbound.request.body) == [b"one", b"two"]
    assert inbound.result.headers == [("x-b", "1"), ("x-b", "2")]
    assert inbound.result.body is not None
    assert unpack(inbound.result.body) == [b"three", b"four"]
    assert (inbound.request.body.end, inbound.result.body.end) == ("complete", "complete")


def test_a_body_that_the_application_left_is_partial(kept: Kept) -> None:
    """What was not asked for is not in the cassette."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        await send(piece(b"", more=False))

    asyncio.run(Middleware(app, door)(scope(), (server := Server(asked(b"one"))).receive, server.send))
    (inbound,) = kept()
    assert inbound.request.body is not None
    assert (unpack(inbound.request.body), inbound.request.body.end) == ([b"one"], "partial")


def test_an_exception_in_the_middle_of_an_answer_is_kept(kept: Kept) -> None:
    """The exception goes on to the server; the cassette has it, its traceback, and what was sent before."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"half"))
        raise LookupError("the other half")

    server = Server()
    with pytest.raises(LookupError, match="the other half"):
        asyncio.run(Middleware(app, door)(scope(), server.receive, server.send))
    (inbound,) = kept()
    assert inbound.result.status == 200
    assert inbound.result.body is not None
    assert (unpack(inbound.result.body), inbound.result.body.end) == ([b"half"], "error")
    assert inbound.traceback is not None
    assert "LookupError: the other half" in inbound.traceback


def test_a_cancelled_call_is_partial(kept: Kept) -> None:
    """A server that cancels the call (the client left, the server ends) leaves a partial body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"half"))
        await asyncio.sleep(60)

    async def run() -> None:
        server = Server()
        call = asyncio.ensure_future(Middleware(app, door)(scope(), server.receive, server.send))
        await asyncio.sleep(0)
        call.cancel()
        await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    (inbound,) = kept()
    assert inbound.result.body is not None
    assert (unpack(inbound.result.body), inbound.result.body.end) == ([b"half"], "partial")


@pytest.mark.parametrize("kind", ["websocket", "another"])
def test_other_protocols_get_the_servers_own_functions(kind: str, kept: Kept) -> None:
    """A websocket is handed the very scope, receive and send; nothing is recorded."""
    got: list[Any] = []

    async def app(*given: Any) -> None:
        got.extend(given)

    server = Server()
    described = {"type": kind, "path": "/", "headers": []}
    given = (dict(described), server.receive, server.send)
    asyncio.run(Middleware(app, door)(*given))
    assert [a is b for a, b in zip(got, given, strict=True)] == [True, True, True]
    assert got[0] == described
    assert kept() == []


def test_what_an_application_did_is_written_before_its_server_hears_of_its_end(tmp_path: Path) -> None:
    """uvicorn dies of the signal it was sent: what was called at start-up must be on disk by then, and only then."""
    timetracer.start(TraceConfig(mode="record", cassette_dir=str(tmp_path), secrets="keep"))

    def written() -> list[str]:
        return [path.name.partition("__")[0] for path in find_cassettes(tmp_path)] if any(tmp_path.iterdir()) else []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sqlite3.connect(tmp_path / "x.db").execute("select 1").connection.close()
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    heard: list[tuple[str, list[str]]] = []

    async def send(message: dict[str, Any]) -> None:
        heard.append((message["type"].split(".")[1], written()))

    try:
        asyncio.run(Middleware(app, door)({"type": "lifespan"}, Server().receive, send))
    finally:
        timetracer.stop()
    assert heard == [("startup", []), ("shutdown", ["PROCESS"])]


def test_a_body_is_received_ahead_where_it_is_wanted() -> None:
    """What was received ahead comes to the application message by message, then what the server says next."""
    parts = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"}]
    server = Server(*parts, {"type": "http.disconnect"})
    got: list[Any] = []

    class Ahead(type(NOBODY)):  # type: ignore[misc]
        reads_ahead = True

    @contextmanager
    def wanting(describe: Any, *came: Any) -> Iterator[Any]:
        yield Ahead(None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert server.order == ["receive", "receive"]
        got.extend([await receive(), await receive(), await receive()])

    asyncio.run(Middleware(app, wanting)(scope(), server.receive, server.send))  # type: ignore[arg-type]
    assert got == [*parts, {"type": "http.disconnect"}]


def test_a_door_in_a_door_is_none(kept: Kept) -> None:
    """An application mounted in another, both with the middleware, makes one cassette."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"once", more=False))

    server = Server()
    asyncio.run(Middleware(Middleware(app, door), door)(scope(), server.receive, server.send))
    (inbound,) = kept()
    assert inbound.result.body is not None
    assert unpack(inbound.result.body) == [b"once"]


def test_no_file_is_sent_past_the_door(kept: Kept) -> None:
    """Extensions that let a server send a file by itself are not offered; the others are."""
    offered: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        offered.extend(scope["extensions"])

    names = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")
    extensions: dict[str, Any] = {name: {} for name in names}
    asyncio.run(Middleware(app, door)(scope(extensions=extensions), (server := Server()).receive, server.send))
    assert offered == ["http.response.trailers"]
