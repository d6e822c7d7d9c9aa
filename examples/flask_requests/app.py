"""Turns an uploaded list of amounts into another currency, line by line; the rates come from another service."""

from __future__ import annotations

import os
from collections.abc import Iterator

import requests
from flask import Flask, Response, request

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:8001")

app = Flask(__name__)


@app.post("/convert/<currency>")
def convert(currency: str) -> Response:
    amounts = request.files["amounts"].read().decode().split()

    def lines() -> Iterator[str]:
        with requests.Session() as rates:
            for amount in amounts:
                rate = rates.get(f"{RATES_URL}/rates", params={"currency": currency}).json()["rate"]
                yield f"{float(amount) * rate:.2f}\n"

    return Response(lines(), mimetype="text/plain")
