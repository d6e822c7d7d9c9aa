"""The demo's service: a Django project in one file that leans on a database and on two calls to another service.

    python shop.py UPSTREAM_URL [REQUESTS]

It knows nothing of timetracer. `timetracer demo` puts a copy of it into a folder and runs it there.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import requests
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

# Django's settings: DJANGO_SETTINGS_MODULE names this file.
SECRET_KEY = "demo"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop"
USE_TZ = True

client = httpx.Client(timeout=10)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Prints how long a call took."""
    start = time.perf_counter()
    yield
    print(f"call\t{name}\t{(time.perf_counter() - start) * 1000:.2f}", flush=True)


def quote(request: HttpRequest, item: str) -> JsonResponse:
    """Answers what an item costs this customer today."""
    upstream = sys.argv[1]
    with timed("sqlite3   SELECT customers"):
        connection = sqlite3.connect("shop.sqlite3")
        name, discount = connection.execute("SELECT name, discount FROM customers WHERE id = ?", (1,)).fetchone()
        connection.close()
    with timed("requests  GET /price"):
        price = requests.get(f"{upstream}/price/{item}", timeout=10).json()["price"]
    with timed("httpx     POST /tax"):
        tax = client.post(f"{upstream}/tax", json={"net": price - discount}).json()["tax"]
    return JsonResponse(
        {
            "item": item,
            "customer": name,
            "total": price - discount + tax,
            "quote": str(uuid.uuid4()),
            "valid_until": str(datetime.now(UTC).date() + timedelta(days=14)),
        }
    )


urlpatterns = [path("quote/<str:item>/", quote)]


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
        print(f"listening\t{server.server_port}", flush=True)
        for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000):
            server.handle_request()
