"""Nothing grows with the requests that a worker serves: objects, threads, file descriptors, sessions held open."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import BIN, LAUNCHER, App, Asked, ask, environment, serving
from tests.services import Upstream
from timetracer.cassette.store import find_cassettes

SERVICE = """
import asyncio, collections, gc, json, os, threading
import httpx, requests
from timetracer.integrations.asgi import TimeTracerMiddleware as Asgi
from timetracer.integrations.wsgi import TimeTracerMiddleware as Wsgi
from timetracer.runtime import process

URL = os.environ["UPSTREAM"]


def counts():
    assert process.flush(120)
    for _ in range(3):
        gc.collect()
    types = collections.Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return json.dumps({
        "types": types, "threads": threading.active_count(), "files": len(os.listdir("/proc/self/fd")),
    }).encode()


def sync(path):
    if path == "/dropped":
        requests.get(URL + "/stream/5", stream=True, timeout=10)  # neither read nor closed
        return iter([b"x" * 100_000] * 200)
    return iter([counts() if path == "/counts" else str(requests.get(URL + "/json", timeout=10).status_code).encode()])


def plain(environ, start_response):
    if environ["PATH_INFO"] == "/counts":
        return unseen(environ, start_response)
    start_response("200 OK", [])
    return sync(environ["PATH_INFO"])


def unseen(environ, start_response):
    start_response("200 OK", [])
    return [counts()]


async def asynchronous(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/counts":
        body = counts()
    elif scope["path"] == "/tasks":
        async with httpx.AsyncClient() as client:
            async def one():
                return (await client.get(URL + "/json")).status_code
            body = str(sum(await asyncio.gather(*(one() for _ in range(20))))).encode()
    elif scope["path"] == "/dropped":
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        body = b""
    else:
        async with httpx.AsyncClient() as client:
            body = str((await client.get(URL + "/json")).status_code).encode()
    await send({"type": "http.response.body", "body": body})


wsgi, asgi = Wsgi(plain), Asgi(asynchronous)
"""
SERVERS = {
    "gunicorn": ["service:wsgi", "--bind", "127.0.0.1:{port}", "--workers", "1", "--threads", "2"],
    "uvicorn": ["service:asgi", "--host", "127.0.0.1", "--port", "{port}", "--lifespan", "off"],
}
PATHS = {"gunicorn": ["/", "/", "/dropped"], "uvicorn": ["/", "/tasks", "/dropped"]}
WARM, MORE = 15, 60
SPARE = 30
"""What may be there by chance: less than one object for every two rounds."""


def drop(port: int) -> None:
    """Asks for a long answer, takes its beginning and goes away."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /dropped HTTP/1.0\r\n\r\n")
        connection.recv(1000)


def rounds(app: App, server: str, number: int) -> None:
    """Asks everything so many times."""
    for _ in range(number):
        for path in PATHS[server]:
            if path == "/dropped":
                drop(app.port)
            else:
                assert ask(app.port, Asked("GET", path)).status == 200


def counts(app: App) -> Any:
    """Returns what the worker counts, once what was dropped is done with."""
    time.sleep(1)
    return json.loads(ask(app.port, Asked("GET", "/counts")).body)


@contextmanager
def worker(server: str, mode: str, folder: Path, upstream: Upstream) -> Iterator[App]:
    """Serves in one worker; the questions of the test itself are no part of what is recorded."""
    (folder / "service.py").write_text(SERVICE)
    env = environment(
        UPSTREAM=upstream.url,
        PYTHONPATH=str(folder),
        TIMETRACER_MODE=mode,
        TIMETRACER_CASSETTE_DIR=str(folder / "cassettes"),
        TIMETRACER_EXCLUDE_PATHS="/counts",
        TIMETRACER_MAX_BODY_KB="16",  # a queue that is full drops cassettes, and holds what it has
    )
    command = [*LAUNCHER, str(BIN / server), *SERVERS[server]]
    with serving(command, folder=folder, env=env, log=folder / f"{mode}.log", ready="/counts") as app:
        yield app


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_grows_with_the_requests(server: str, tmp_path: Path, upstream: Upstream) -> None:
    """Recorded or replayed: after a warm-up, a few hundred requests leave the worker as it was."""
    for mode, warm in (("record", WARM), ("replay", WARM)):
        with worker(server, mode, tmp_path, upstream) as app:
            rounds(app, server, warm)
            before = counts(app)
            rounds(app, server, MORE)
            after = counts(app)
        grown = {name: (before["types"].get(name, 0), now) for name, now in after["types"].items()}
        grown = {name: pair for name, pair in grown.items() if pair[1] - pair[0] > SPARE}
        assert grown == {}, mode
        assert len(find_cassettes(tmp_path / "cassettes")) >= len(PATHS[server]) * (WARM + MORE)
        assert after["threads"] <= before["threads"] + 2, mode  # of gunicorn's own pool
        assert after["files"] <= before["files"] + 2, mode
