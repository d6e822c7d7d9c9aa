"""A plain ASGI application: no framework, every message by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from upstream import CHUNKS, CONFIG, SETUP, ask_async, digest


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
    else:
        await respond(scope["path"], receive, send)


async def respond(path: str, receive: Any, send: Any) -> None:
    name = path.strip("/").split("/")[0]

    async def start(status: int = 200, kind: str = "application/json") -> None:
        headers = [(b"content-type", kind.encode()), (b"x-a", b"1"), (b"x-a", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def chunk(data: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if name == "health":
        await start(kind="text/plain")
        await chunk(b"up", more=False)
    elif name in ("stream", "events"):
        await start(kind="text/event-stream")
        for n in range(CHUNKS):
            await chunk(f"data: {n} {await ask_async(name)}\n\n".encode())
        await chunk(b"", more=False)
    elif name == "endless":
        await start(kind="text/plain")
        await chunk(f"{await ask_async(name)}\n".encode())
        leaving = asyncio.ensure_future(_gone(receive))
        while not leaving.done():
            await chunk(b"more\n")
            await asyncio.sleep(0.02)
    elif name == "fail":
        raise ValueError(f"no such thing: {await ask_async(name)}")
    else:
        data, more = b"", True
        while more:
            message = await receive()
            data, more = data + message.get("body", b""), message.get("more_body", False)
        answer = {"digest": digest(data), "upstream": await ask_async(name)}
        await start()
        await chunk(json.dumps(answer).encode(), more=False)
        if name == "background":
            await ask_async("background later")


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


app: Any = application
if SETUP == "middleware":
    from timetracer.integrations.asgi import TimeTracerMiddleware

    app = TimeTracerMiddleware(app, CONFIG)
elif SETUP == "auto_setup":
    from timetracer.integrations.asgi import auto_setup

    app = auto_setup(app, CONFIG)
