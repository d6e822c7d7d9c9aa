"""Streams in replay: what the SDKs of language models see, event by event, and at which pace."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import requests
import urllib3

import timetracer
from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from timetracer.cassette.store import read_cassette
from timetracer.engine import bodies

SUITE = Suite("tests.outbound.steps.llm", instrumentors=("httpx", "httpx2"))
EVENTS, STEP = 5, 0.12346


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings of the SDKs, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("llm"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_sdks_see_the_same_events(recordings: Recordings, variant: Variant) -> None:
    """Whatever events OpenAI's and Anthropic's SDKs gave the app live, they give it again with the server gone."""
    SUITE.check(recordings, variant)


def test_the_sdks_did_get_answers(recordings: Recordings) -> None:
    """No step ended with an error that would be the same in every run: what fails is caught in the step."""
    assert {name: seen["error"] for name, seen in recordings[False].outcome["steps"].items() if "error" in seen} == {}


class Clock:
    """What bodies are timed by: it moves when the app takes its time over a chunk, and while a replay waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waited.append(round(seconds, 4))
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def passes(self) -> None:
        """A step of time goes by."""
        self.now += STEP


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of the test's own, so that the pace is the same on a machine that is busy."""
    clock = Clock()
    monkeypatch.setattr(bodies, "time", clock)
    monkeypatch.setattr(bodies, "asyncio", SimpleNamespace(sleep=clock.asleep, CancelledError=asyncio.CancelledError))
    return clock


class Server(HTTPServer):
    """Answers with a stream whose next chunk is sent when the one before was taken."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(1 if self.path == "/whole" else EVENTS):
            self.wfile.write(b"8\r\ndata: %d\n\r\n" % number)
            self.server.taken.acquire(timeout=60)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that runs until the test ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Took = Callable[[], None]
"""Called with each chunk that the app took."""


def _each(chunk: bytes, took: Took) -> bytes:
    took()
    return chunk


def _httpx(url: str, took: Took) -> list[bytes]:
    with httpx.Client(trust_env=False) as http, http.stream("GET", url) as response:
        return [_each(chunk, took) for chunk in response.iter_raw()]


def _httpx_async(url: str, took: Took) -> list[bytes]:
    async def read() -> list[bytes]:
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as response:
            return [_each(chunk, took) async for chunk in response.aiter_raw()]

    return asyncio.run(read())


def _requests(url: str, took: Took) -> list[bytes]:
    with requests.Session() as http:
        http.trust_env = False
        with http.get(url, stream=True) as response:
            return [_each(chunk, took) for chunk in response.iter_content(None)]


def _urllib3(url: str, took: Took) -> list[bytes]:
    with urllib3.PoolManager() as http:
        return [_each(chunk, took) for chunk in http.request("GET", url, preload_content=False).stream()]


def _http_client(url: str, took: Took) -> list[bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", url)
    response = connection.getresponse()
    chunks = [_each(chunk, took) for chunk in iter(lambda: response.read1(65536), b"")]
    connection.close()
    return chunks


def _aiohttp(url: str, took: Took) -> list[bytes]:
    async def read() -> list[bytes]:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return [_each(chunk, took) async for chunk in response.content.iter_any()]

    return asyncio.run(read())


READERS = [_httpx, _httpx_async, _requests, _urllib3, _http_client, _aiohttp]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__[1:])
def test_chunks_come_at_the_pace_asked_for(
    read: Callable[[str, Took], list[bytes]], tmp_path: Path, server: Server, clock: Clock
) -> None:
    """One by one either way: at once by default, at the recorded pace with stream_timing="recorded"."""
    cassette = tmp_path / "c.json"

    def took() -> None:
        clock.passes()
        server.taken.release()

    with timetracer.record(cassette):
        recorded = read(server.url, took)
    assert b"".join(recorded) == b"".join(b"data: %d\n" % number for number in range(EVENTS))
    with timetracer.replay(cassette):
        assert read(server.url, lambda: None) == recorded
    assert clock.waited == []
    with timetracer.replay(cassette, stream_timing="recorded"):
        assert read(server.url, lambda: None) == recorded
    assert clock.waited == [round(STEP, 4)] * (EVENTS - 1)


def test_an_app_that_takes_its_time_does_not_wait_twice(tmp_path: Path, server: Server, clock: Clock) -> None:
    """What the app did between two chunks is part of the recorded pace, and is not waited for on top of it."""
    cassette = tmp_path / "c.json"

    def took() -> None:
        clock.passes()
        server.taken.release()

    with timetracer.record(cassette):
        recorded = _httpx(server.url, took)
    with timetracer.replay(cassette, stream_timing="recorded"):
        assert _httpx(server.url, took) == recorded
    assert sum(clock.waited) < STEP / 100  # a cassette's milliseconds are rounded


def test_the_pace_is_readable_and_only_of_streams(tmp_path: Path, server: Server, clock: Clock) -> None:
    """A cassette holds milliseconds for each chunk of a stream, and nothing for a body in one piece."""
    cassette = tmp_path / "c.json"

    def took() -> None:
        clock.passes()
        server.taken.release()

    with timetracer.record(cassette):
        _httpx(f"{server.url}/whole", took)
        _httpx(server.url, took)
    whole, stream = (event.result.body for event in read_cassette(cassette).events)
    assert whole is not None
    assert whole.gaps is None
    assert stream is not None
    assert stream.gaps == [0.0, *[123.5] * (EVENTS - 1)]
