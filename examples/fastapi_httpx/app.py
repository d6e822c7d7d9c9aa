"""Quotes prices in any currency; the rates come from another service."""

from __future__ import annotations

import os

import httpx
from fastapi import BackgroundTasks, FastAPI, HTTPException

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:8001")

app = FastAPI()


@app.get("/quotes/{currency}")
async def quote(currency: str, amount: float, tasks: BackgroundTasks) -> dict[str, float | str]:
    async with httpx.AsyncClient(base_url=RATES_URL) as rates:
        answer = await rates.get("/rates", params={"currency": currency})
    if answer.status_code == 404:
        raise HTTPException(404, f"nobody trades {currency}")
    tasks.add_task(report, currency)
    return {"currency": currency, "price": round(amount * answer.json()["rate"], 2)}


async def report(currency: str) -> None:
    async with httpx.AsyncClient(base_url=RATES_URL) as rates:
        await rates.post("/used", json={"currency": currency})
