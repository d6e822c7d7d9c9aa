"""Compares the rates of several currencies, asked for all at once with aiohttp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Request

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:8001")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as app.state.http:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/best")
async def best(request: Request, currencies: str) -> dict[str, float | str]:
    async def rate(currency: str) -> tuple[float, str]:
        async with request.app.state.http.get(f"{RATES_URL}/rates", params={"currency": currency}) as answer:
            return (await answer.json())["rate"], currency

    highest, currency = max(await asyncio.gather(*map(rate, currencies.split(","))))
    return {"currency": currency, "rate": highest}
