"""Takes orders in any currency; the rates come from another service."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass

import httpx
from litestar import Litestar, post

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:8001")


@dataclass
class Order:
    item: str
    price: float
    currency: str


@dataclass
class Booked:
    id: str
    item: str
    euros: float


@post("/orders")
async def order(data: Order) -> Booked:
    async with httpx.AsyncClient(base_url=RATES_URL) as rates:
        answer = await rates.get("/rates", params={"currency": data.currency})
    return Booked(id=str(uuid.uuid4()), item=data.item, euros=round(data.price / answer.json()["rate"], 2))


app = Litestar([order])
