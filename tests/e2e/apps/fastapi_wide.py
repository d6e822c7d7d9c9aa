"""What FastAPI and Starlette applications are made of besides routes: lifespan, mounts, handlers, middleware, files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import redis.asyncio
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request, UploadFile
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket
from upstream import CONFIG, SETUP, URL, ask, ask_async, digest

FILE = Path(os.environ["APP_FILE"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Makes the clients, and uses each before any request."""
    async with (
        httpx.AsyncClient(base_url=URL) as client,
        redis.asyncio.Redis.from_url(os.environ["APP_REDIS"]) as store,
    ):
        app.state.client, app.state.store = client, store
        app.state.first = (await client.get("/counter/lifespan")).json()
        await store.set("started", "yes")
        yield
        await store.delete("started")


class Known(Exception):
    """What a handler of the application answers for."""


class Thing(BaseModel):
    """What is sent."""

    name: str
    price: float


app = FastAPI(lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=500)
app.add_middleware(CORSMiddleware, allow_origins=["http://shop.example"], allow_methods=["GET", "PUT"])


@app.middleware("http")
async def stamped(request: Request, call_next: Any) -> Response:
    """Asks upstream before and after, as BaseHTTPMiddleware does."""
    if request.url.path == "/health/":
        return await call_next(request)
    before = await ask_async("middleware")
    response: Response = await call_next(request)
    response.headers["X-Stamp"] = f"{before['count']} {(await ask_async('middleware'))['count']}"
    return response


@app.exception_handler(Known)
async def known(request: Request, error: Known) -> JSONResponse:
    return JSONResponse({"known": str(error), "upstream": await ask_async("handler")}, status_code=418)


@app.get("/health/")
async def health() -> str:
    return "up"


@app.get("/clients")
async def clients(request: Request) -> dict[str, Any]:
    state = request.app.state
    count = await state.store.incr("clients")
    async with state.store.pipeline(transaction=True) as pipe:
        both = await pipe.get("started").get("clients").execute()
    return {"count": count, "both": both, "upstream": (await state.client.get("/counter/clients")).json()}


async def session() -> AsyncIterator[dict[str, Any]]:
    """A dependency that does something before and after."""
    yield await ask_async("opened")
    await ask_async("closed")


Session = Annotated[dict[str, Any], Depends(session)]


@app.get("/yields")
async def yields(opened: Session) -> dict[str, Any]:
    return {"opened": opened, "upstream": await ask_async("yields")}


@app.get("/yields/fails")
async def yields_and_fails(opened: Session) -> dict[str, Any]:
    raise HTTPException(409, {"opened": opened}, {"X-Why": "because"})


@app.get("/known")
async def raises_known() -> None:
    raise Known((await ask_async("known"))["count"])


@app.get("/unhandled")
def unhandled() -> None:
    raise RuntimeError(ask("unhandled"))


@app.post("/things", status_code=201)
async def things(thing: Thing, x_key: Annotated[str | None, Header()] = None) -> dict[str, Any]:
    return {"thing": thing, "key": x_key, "upstream": await ask_async("things")}


@app.get("/later")
def later(tasks: BackgroundTasks) -> dict[str, Any]:
    tasks.add_task(ask, "later")
    tasks.add_task(ask_async, "later")
    return {"now": ask("later")}


@app.get("/file")
@app.head("/file")
async def file() -> FileResponse:
    await ask_async("file")
    return FileResponse(FILE, filename="wide.bin")


@app.get("/long")
async def long() -> PlainTextResponse:
    return PlainTextResponse(str(await ask_async("long")) * 200)


@app.get("/lines")
async def lines() -> StreamingResponse:
    async def each() -> AsyncIterator[str]:
        for n in range(4):
            yield f"{n} {await ask_async('lines')}\n" * 50

    return StreamingResponse(each(), media_type="text/plain")


@app.post("/spooled")
async def spooled(file: UploadFile) -> dict[str, Any]:
    return {"digest": digest(await file.read()), "name": file.filename, "upstream": await ask_async("spooled")}


@app.post("/streamed")
async def streamed(request: Request) -> dict[str, Any]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size, "upstream": await ask_async("streamed")}


@app.post("/unread")
async def unread() -> dict[str, Any]:
    return await ask_async("unread")


class Endpoint(HTTPEndpoint):
    """A class-based view."""

    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"], "upstream": await ask_async("endpoint")})


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    """Echoes; `bye` closes with a code and a reason."""
    await socket.accept(subprotocol=(socket.scope["subprotocols"] or [None])[0])
    async for text in socket.iter_text():
        if text == "bye":
            await socket.close(4001, "as asked")
            return
        if text == "ask":
            await socket.send_json(await ask_async("socket"))
        else:
            await socket.send_text(text)


@app.websocket("/refused")
async def refused(socket: WebSocket) -> None:
    """Is closed before it is accepted."""
    await socket.close(1008)


inner = APIRouter(prefix="/inner/{b}")


@inner.get("/leaf/{c}")
async def leaf(a: str, b: str, c: str) -> dict[str, Any]:
    return {"abc": [a, b, c], "upstream": await ask_async("leaf")}


outer = APIRouter(prefix="/outer/{a}")
outer.include_router(inner)
app.include_router(outer)

sub = FastAPI()


@sub.get("/things/{id}")
async def sub_thing(id: int) -> dict[str, Any]:
    return {"id": id, "upstream": await ask_async("sub")}


@sub.get("/broken")
async def sub_broken() -> None:
    raise RuntimeError(await ask_async("sub-broken"))


app.mount("/sub", sub)
app.router.routes.append(Mount("/classes", routes=[Route("/{id:int}", Endpoint)]))

if "middleware" in SETUP:
    from timetracer.integrations.fastapi import TimeTracerMiddleware

    app.add_middleware(TimeTracerMiddleware, config=CONFIG)
if "auto_setup" in SETUP:
    from timetracer.integrations.fastapi import auto_setup

    auto_setup(app, CONFIG)
if "asgi" in SETUP:
    from timetracer.integrations.asgi import TimeTracerMiddleware as Plain

    app = Plain(app, CONFIG)  # type: ignore[assignment]
