"""The Litestar application of these tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, Response, Router, WebSocket, get, post, route, websocket
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import ServerSentEvent, ServerSentEventMessage, Stream
from upstream import CHUNKS, CONFIG, SETUP, ask, ask_async, digest


@get("/health", media_type=MediaType.TEXT)
async def health() -> str:
    return "up"


@route("/one/{n:int}", http_method=["GET", "HEAD"], status_code=200)
async def one(request: Request, n: int) -> Response[Any]:
    answer = {"n": n, "upstream": await ask_async(f"one-{n}")}
    cookies = [Cookie("a", value="1"), Cookie("b", value="2")]
    return Response(None if request.method == "HEAD" else answer, cookies=cookies)


@get("/threaded/{n:str}", sync_to_thread=True)
def threaded(n: str) -> dict[str, Any]:
    return ask(f"threaded-{n}")


@post("/form", status_code=200)
async def form(
    data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    file: UploadFile = data["file"]
    return {"note": data["note"], "digest": digest(await file.read()), "upstream": await ask_async("form")}


@post("/big", status_code=200, request_max_body_size=None)
async def big(data: dict[str, Any]) -> dict[str, Any]:
    return {"items": data["items"], "upstream": await ask_async("big")}


@post("/upload", status_code=200, request_max_body_size=None)
async def upload(request: Request) -> dict[str, Any]:
    found, pieces = hashlib.sha256(), 0
    async for chunk in request.stream():
        found.update(chunk)
        pieces += bool(chunk)
    return {"digest": found.hexdigest(), "several": pieces > 1, "upstream": await ask_async("upload")}


@get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for n in range(CHUNKS):
            yield f"{n} {await ask_async('stream')}\n".encode()

    return Stream(chunks(), media_type="text/plain")


@get("/events")
async def events() -> ServerSentEvent:
    async def each() -> AsyncIterator[ServerSentEventMessage]:
        for n in range(CHUNKS):
            yield ServerSentEventMessage(event="count", data=f"{n} {await ask_async('events')}")

    return ServerSentEvent(each())


@get("/endless")
async def endless() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield f"{await ask_async('endless')}\n".encode()
        while True:
            yield b"more\n"
            await asyncio.sleep(0.02)

    return Stream(chunks(), media_type="text/plain")


@get("/background")
async def background() -> Response[dict[str, bool]]:
    return Response({"later": True}, background=BackgroundTask(ask_async, "background"))


@get("/fail")
async def fail() -> None:
    raise ValueError(f"no such thing: {await ask_async('fail')}")


@get("/items/{n:str}")
async def item(tenant: str, n: str) -> dict[str, Any]:
    return {"params": {"tenant": tenant, "n": n}, "upstream": await ask_async("item")}


@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_data("text"):
        await socket.send_text(str(text).upper())


handlers = [health, one, threaded, form, big, upload, stream, events, endless, background, fail, echo]
handlers.append(Router("/tenants/{tenant:str}", route_handlers=[item]))

if SETUP == "middleware":
    from litestar.middleware import DefineMiddleware

    from timetracer.integrations.litestar import TimeTracerMiddleware

    app = Litestar(handlers, middleware=[DefineMiddleware(TimeTracerMiddleware, config=CONFIG)])
else:
    app = Litestar(handlers)
if SETUP == "auto_setup":
    from timetracer.integrations.litestar import auto_setup

    auto_setup(app, CONFIG)
