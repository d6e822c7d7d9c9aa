"""The FastAPI application of these tests: dependencies, models, an included router, a mounted application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import starlette_app
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, File, Form, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from upstream import CHUNKS, CONFIG, SETUP, ask, ask_async, digest

app = FastAPI()
router = APIRouter(prefix="/tenants/{tenant}")


@app.get("/health/")
async def health() -> str:
    return "up"


async def asked(n: int) -> dict[str, Any]:
    return await ask_async(f"one-{n}")


@app.api_route("/one/{n}", methods=["GET", "HEAD"])
async def one(n: int, upstream: Annotated[dict[str, Any], Depends(asked)]) -> JSONResponse:
    answer = JSONResponse({"n": n, "upstream": upstream})
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


@app.get("/threaded/{n}")
def threaded(n: str) -> dict[str, Any]:
    return ask(f"threaded-{n}")


@app.post("/form")
async def form(note: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    return {"note": note, "digest": digest(await file.read()), "upstream": await ask_async("form")}


@app.post("/big")
async def big(items: Annotated[list[str], Body(embed=True)]) -> dict[str, Any]:
    return {"items": items, "upstream": await ask_async("big")}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for n in range(CHUNKS):
            yield f"{n} {await ask_async('stream')}\n".encode()

    return StreamingResponse(chunks(), media_type="text/plain")


@app.get("/background")
async def background(tasks: BackgroundTasks) -> dict[str, bool]:
    tasks.add_task(ask_async, "background")
    return {"later": True}


@app.get("/fail")
async def fail() -> None:
    raise ValueError(f"no such thing: {await ask_async('fail')}")


@router.get("/items/{n}")
async def item(tenant: str, n: str) -> dict[str, Any]:
    return {"params": {"tenant": tenant, "n": n}, "upstream": await ask_async("item")}


app.include_router(router)
app.add_api_websocket_route("/echo", starlette_app.echo)
app.add_route("/upload", starlette_app.upload, methods=["POST"])
app.add_route("/events", starlette_app.events)
app.add_route("/endless", starlette_app.endless)

if SETUP == "middleware":
    from timetracer.integrations.fastapi import TimeTracerMiddleware

    app.add_middleware(TimeTracerMiddleware, config=CONFIG)
elif SETUP == "auto_setup":
    from timetracer.integrations.fastapi import auto_setup

    auto_setup(app, CONFIG)
