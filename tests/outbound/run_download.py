"""Downloads one URL in a process of its own and says what it saw and how much memory it took.

    python -m tests.outbound.run_download CLIENT URL CASSETTE recorded|idle

`idle` has timetracer and all its plugins loaded as well, with no session open. Prints one line of JSON: the body's
SHA-256 and size, the seconds until its first chunk, the process's peak memory in MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import requests
import urllib3

import timetracer

PIECE = 65536


class Seen:
    """What came of a body, kept as a digest."""

    def __init__(self) -> None:
        self.digest, self.size, self.first = hashlib.sha256(), 0, 0.0
        self.started = time.perf_counter()

    def take(self, chunk: bytes) -> None:
        if not self.size:
            self.first = time.perf_counter() - self.started
        self.size += len(chunk)
        self.digest.update(chunk)


def _httpx(url: str) -> Iterator[bytes]:
    with httpx.Client(trust_env=False) as http, http.stream("GET", url) as response:
        yield from response.iter_bytes()


def _requests(url: str) -> Iterator[bytes]:
    with requests.Session() as http:
        http.trust_env = False
        with http.get(url, stream=True) as response:
            yield from response.iter_content(PIECE)


def _urllib3(url: str) -> Iterator[bytes]:
    with urllib3.PoolManager() as http:
        yield from http.request("GET", url, preload_content=False).stream(PIECE)


def _http_connection(url: str) -> Iterator[bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", urlsplit(url).path)
    response = connection.getresponse()
    while chunk := response.read(PIECE):
        yield chunk
    connection.close()


def _urllib_request(url: str) -> Iterator[bytes]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as response:
        while chunk := response.read(PIECE):
            yield chunk


async def _aiohttp(url: str, seen: Seen) -> None:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        async for chunk in response.content.iter_any():
            seen.take(chunk)


CLIENTS: dict[str, Callable[[str], Iterator[bytes]]] = {
    "httpx": _httpx,
    "requests": _requests,
    "urllib3": _urllib3,
    "http.client": _http_connection,
    "urllib.request": _urllib_request,
}


def download(client: str, url: str) -> Seen:
    """Reads the body as it comes, keeping none of it."""
    seen = Seen()
    if client == "aiohttp":
        asyncio.run(_aiohttp(url, seen))
        return seen
    for chunk in CLIENTS[client](url):
        seen.take(chunk)
    return seen


def peak_mb() -> float:
    """The most memory this process had at a time."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(client: str, url: str, cassette: str, how: str) -> None:
    """Downloads and tells."""
    with timetracer.record(f"{cassette}.warm"):
        pass  # all plugins are loaded, either way
    session: Any = timetracer.record(cassette) if how == "recorded" else nullcontext()
    with session:
        seen = download(client, url)
    told = {"sha256": seen.digest.hexdigest(), "size": seen.size, "first": seen.first, "peak": peak_mb()}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
