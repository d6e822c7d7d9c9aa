"""Streams the rates of a currency as server-sent events; they come from another service."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:8001")


async def ticker(request: Request) -> StreamingResponse:
    currency = request.path_params["currency"]

    async def events() -> AsyncIterator[str]:
        async with httpx.AsyncClient(base_url=RATES_URL) as rates:
            for _ in range(3):
                answer = await rates.get("/rates", params={"currency": currency})
                yield f"event: rate\ndata: {answer.json()['rate']}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/ticker/{currency}", ticker)])
