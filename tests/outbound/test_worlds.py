"""One client in two worlds: live, replayed and live again, and both at once; and what cannot be replayed at all."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

import timetracer
from tests.services import Upstream, start_upstream
from timetracer import ReplayError, UnsupportedError
from timetracer.cassette.store import read_cassette

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """An upstream of this module's own, which counts from zero."""
    upstream = start_upstream(tmp_path_factory.mktemp("worlds"))
    yield upstream
    upstream.stop()


def _httpx() -> Iterator[Ask]:
    with httpx.Client(trust_env=False) as client:
        yield lambda url: client.get(url).json()


def _httpx2() -> Iterator[Ask]:
    with httpx2.Client(trust_env=False) as client:
        yield lambda url: client.get(url).json()


def _requests() -> Iterator[Ask]:
    with requests.Session() as session:
        session.trust_env = False
        yield lambda url: session.get(url).json()


def _urllib3() -> Iterator[Ask]:
    with urllib3.PoolManager() as pool:
        yield lambda url: pool.request("GET", url).json()


def _http_client() -> Iterator[Ask]:
    """A connection for each thread: it answers one question at a time."""
    own, made = threading.local(), []

    def ask(url: str) -> Any:
        where = urlsplit(url)
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(where.netloc, timeout=5)
            made.append(own.connection)
        own.connection.request("GET", where.path)
        return json.loads(own.connection.getresponse().read())

    yield ask
    for connection in made:
        connection.close()


def _aiohttp() -> Iterator[Ask]:
    """A session in a loop of its own thread, so that sync code on several threads can share it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = asyncio.run_coroutine_threadsafe(make(), loop).result()

    async def get(url: str) -> Any:
        async with session.get(url) as response:
            return await response.json()

    # The task is made in the asking thread's context, as OTel's threading instrumentor would have it.
    yield lambda url: asyncio.run_coroutine_threadsafe(get(url), loop).result()
    asyncio.run_coroutine_threadsafe(session.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


CLIENTS = [_httpx, _httpx2, _requests, _urllib3, _http_client, _aiohttp]


@pytest.fixture(params=CLIENTS, ids=lambda make: make.__name__[1:])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """One client, kept for the whole test: gives the JSON at a URL."""
    yield from request.param()


def test_live_replayed_and_live_again(ask: Ask, server: Upstream, tmp_path: Path, request: Any) -> None:
    """A client that kept its connections leaves them for a replay, and uses them again afterwards."""
    url, cassette = f"{server.url}/counter/{request.node.name}", tmp_path / "c.json"
    assert ask(url)["count"] == 1
    with timetracer.record(cassette):
        recorded = [ask(url), ask(url)]
    assert ask(url)["count"] == 4
    with timetracer.replay(cassette):
        assert [ask(url), ask(url)] == recorded
    assert ask(url)["count"] == 5
    with timetracer.replay(cassette):
        assert [ask(url), ask(url)] == recorded
    assert ask(url)["count"] == 6


def test_live_and_replayed_at_once(ask: Ask, server: Upstream, tmp_path: Path, request: Any) -> None:
    """Two threads share one client, one live and one replaying: neither ever gets the other's answer."""
    url, cassette, rounds = f"{server.url}/counter/{request.node.name}", tmp_path / "c.json", 40
    with timetracer.record(cassette):
        recorded = [ask(url) for _ in range(rounds)]
    together = threading.Barrier(2)

    def live() -> list[Any]:
        together.wait()
        return [ask(url) for _ in range(rounds)]

    def replayed() -> list[Any]:
        with timetracer.replay(cassette):
            together.wait()
            return [ask(url) for _ in range(rounds)]

    with ThreadPoolExecutor(2) as pool:
        went, came = pool.submit(live), pool.submit(replayed)
        assert came.result() == recorded
        assert [each["count"] for each in went.result()] == list(range(rounds + 1, 2 * rounds + 1))


def test_a_websocket_passes_through_and_is_noted(server: Upstream, tmp_path: Path) -> None:
    """Recorded, a websocket works and its handshake is an event; replayed, its opening says that it cannot be."""
    cassette = tmp_path / "c.json"

    async def talk() -> list[str]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/websocket") as socket:
            await socket.send_str("hello")
            await socket.send_str("snow")
            return [await socket.receive_str(), await socket.receive_str()]

    with timetracer.record(cassette):
        assert asyncio.run(talk()) == ["hello", "snow"]
    (event,) = read_cassette(cassette).events
    assert event.result.status == 101

    refusal = r"aiohttp: .*GET .*/websocket.*websockets .* cannot be replayed"
    with (
        pytest.raises(ReplayError, match=refusal),
        timetracer.replay(cassette),
        pytest.raises(UnsupportedError, match="websockets"),
    ):
        asyncio.run(talk())
