"""Streams in replay: what the SDKs of language models see, event by event, and at which pace."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable
from pathlib import Path
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
from tests.services import start_upstream
from timetracer.cassette.store import read_cassette

SUITE = Suite("tests.outbound.steps.llm", instrumentors=("httpx", "httpx2"))
EVENTS, DELAY = 5, 0.1


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


def _httpx(url: str) -> list[bytes]:
    with httpx.Client(trust_env=False) as http, http.stream("GET", url) as response:
        return list(response.iter_raw())


def _httpx_async(url: str) -> list[bytes]:
    async def read() -> list[bytes]:
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as response:
            return [chunk async for chunk in response.aiter_raw()]

    return asyncio.run(read())


def _requests(url: str) -> list[bytes]:
    with requests.Session() as http:
        http.trust_env = False
        with http.get(url, stream=True) as response:
            return list(response.iter_content(None))


def _urllib3(url: str) -> list[bytes]:
    with urllib3.PoolManager() as http:
        return list(http.request("GET", url, preload_content=False).stream())


def _http_client(url: str) -> list[bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("GET", url)
    response = connection.getresponse()
    chunks = list(iter(lambda: response.read1(65536), b""))
    connection.close()
    return chunks


def _aiohttp(url: str) -> list[bytes]:
    async def read() -> list[bytes]:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return [chunk async for chunk in response.content.iter_any()]

    return asyncio.run(read())


def _timed(read: Callable[[str], list[bytes]], url: str) -> tuple[list[bytes], float]:
    started = time.perf_counter()
    return read(url), time.perf_counter() - started


READERS = [_httpx, _httpx_async, _requests, _urllib3, _http_client, _aiohttp]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__[1:])
def test_chunks_come_at_the_pace_asked_for(read: Callable[[str], list[bytes]], tmp_path: Path) -> None:
    """One by one either way: at once by default, at the recorded pace with stream_timing="recorded"."""
    upstream, cassette = start_upstream(tmp_path), tmp_path / "c.json"
    url = f"{upstream.url}/sse?count={EVENTS}&delay={DELAY}"
    try:
        with timetracer.record(cassette):
            live, live_seconds = _timed(read, url)
    finally:
        upstream.stop()
    with timetracer.replay(cassette):
        at_once, at_once_seconds = _timed(read, url)
    with timetracer.replay(cassette, stream_timing="recorded"):
        paced, paced_seconds = _timed(read, url)

    assert len(live) == EVENTS
    assert at_once == paced == live
    whole = (EVENTS - 1) * DELAY
    assert live_seconds >= whole
    assert paced_seconds >= whole * 0.9
    assert at_once_seconds < whole / 2

    (event,) = read_cassette(cassette).events
    assert event.result.body is not None
    assert len(event.result.body.gaps or ()) == EVENTS


def test_an_app_that_takes_its_time_does_not_wait_twice(tmp_path: Path) -> None:
    """What the app did between two chunks is part of the recorded pace, and is not waited for on top of it."""
    upstream, cassette = start_upstream(tmp_path), tmp_path / "c.json"

    def read() -> float:
        started = time.perf_counter()
        with httpx.Client(trust_env=False) as http, http.stream("GET", f"{upstream.url}/stream/4?delay=0") as response:
            for _ in response.iter_raw():
                time.sleep(0.1)
        return time.perf_counter() - started

    try:
        with timetracer.record(cassette):
            live = read()
    finally:
        upstream.stop()
    with timetracer.replay(cassette, stream_timing="recorded"):
        assert read() < live * 1.6


def test_the_pace_is_readable_and_only_of_streams(tmp_path: Path) -> None:
    """A cassette holds milliseconds for each chunk of a stream, and nothing for a body in one piece."""
    upstream, cassette = start_upstream(tmp_path), tmp_path / "c.json"
    try:
        with timetracer.record(cassette), httpx.Client(trust_env=False) as http:
            http.get(f"{upstream.url}/json")
            http.get(f"{upstream.url}/stream/3?delay=0.05")
    finally:
        upstream.stop()
    whole, stream = (event.result.body for event in read_cassette(cassette).events)
    assert whole is not None
    assert whole.gaps is None
    assert stream is not None
    gaps: Any = stream.gaps
    assert [round(each, 1) for each in gaps] == gaps
    assert 40 <= gaps[1] < 500
