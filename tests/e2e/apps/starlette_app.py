"""A Starlette application that is asked in every way; `build` is shared with FastAPI, which is Starlette with more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from upstream import CHUNKS, CONFIG, SETUP, ask, ask_async, digest


async def health(request: Request) -> Response:
    return PlainTextResponse("up")


async def one(request: Request) -> Response:
    n = request.path_params["n"]
    answer = JSONResponse({"n": n, "upstream": await ask_async(f"one-{n}")})
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


def threaded(request: Request) -> Response:
    return JSONResponse(ask(f"threaded-{request.path_params['n']}"))


async def form(request: Request) -> Response:
    async with request.form() as sent:
        file = sent["file"]
        data = await file.read()
        return JSONResponse({"note": sent["note"], "digest": digest(data), "upstream": await ask_async("form")})


async def big(request: Request) -> Response:
    sent = await request.json()
    return JSONResponse({"items": sent["items"], "upstream": await ask_async("big")})


async def upload(request: Request) -> Response:
    found, pieces = hashlib.sha256(), 0
    async for chunk in request.stream():
        found.update(chunk)
        pieces += bool(chunk)
    return JSONResponse({"digest": found.hexdigest(), "several": pieces > 1, "upstream": await ask_async("upload")})


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for n in range(CHUNKS):
            yield f"{n} {await ask_async('stream')}\n".encode()

    return StreamingResponse(chunks(), media_type="text/plain")


async def events(request: Request) -> Response:
    async def each() -> AsyncIterator[str]:
        for n in range(CHUNKS):
            yield f"event: count\ndata: {n} {await ask_async('events')}\n\n"

    return StreamingResponse(each(), media_type="text/event-stream")


async def endless(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield f"{await ask_async('endless')}\n".encode()
        while True:
            yield b"more\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(chunks(), media_type="text/plain")


async def background(request: Request) -> Response:
    return JSONResponse({"later": True}, background=BackgroundTask(ask_async, "background"))


async def fail(request: Request) -> Response:
    raise ValueError(f"no such thing: {await ask_async('fail')}")


async def item(request: Request) -> Response:
    return JSONResponse({"params": request.path_params, "upstream": await ask_async("item")})


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


routes = [
    Route("/health/", health),
    Route("/one/{n:int}", one),
    Route("/threaded/{n}", threaded),
    Route("/form", form, methods=["POST"]),
    Route("/big", big, methods=["POST"]),
    Route("/upload", upload, methods=["POST"]),
    Route("/stream", stream),
    Route("/events", events),
    Route("/endless", endless),
    Route("/background", background),
    Route("/fail", fail),
    Mount("/tenants/{tenant}", routes=[Route("/items/{n}", item)]),
    WebSocketRoute("/echo", echo),
]

app = Starlette(routes=routes)
if SETUP == "middleware":
    from timetracer.integrations.starlette import TimeTracerMiddleware

    app.add_middleware(TimeTracerMiddleware, config=CONFIG)
elif SETUP == "auto_setup":
    from timetracer.integrations.starlette import auto_setup

    auto_setup(app, CONFIG)
