"""The calls that are measured: for each library, a function that makes so many of them one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Calls = Callable[[int], None]


def httpx_calls(url: str) -> Calls:
    import httpx

    client = httpx.Client(trust_env=False)

    def run(count: int) -> None:
        for _ in range(count):
            assert client.get(url).json()

    return run


def requests_calls(url: str) -> Calls:
    import requests

    session = requests.Session()
    session.trust_env = False

    def run(count: int) -> None:
        for _ in range(count):
            assert session.get(url).json()

    return run


def aiohttp_calls(url: str) -> Calls:
    import aiohttp

    loop = asyncio.new_event_loop()

    async def some(count: int) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(count):
                async with session.get(url) as response:
                    assert await response.json()

    def run(count: int) -> None:
        loop.run_until_complete(some(count))

    return run


def redis_calls(url: str) -> Calls:
    import redis

    client = redis.Redis.from_url(url)
    client.set("key", "a value of a common size: 40 characters.")

    def run(count: int) -> None:
        for _ in range(count):
            assert client.get("key")

    return run


CALLS: dict[str, Callable[[str], Calls]] = {
    "httpx": httpx_calls,
    "requests": requests_calls,
    "aiohttp": aiohttp_calls,
    "redis": redis_calls,
}
INSTRUMENTORS = {"aiohttp": "aiohttp-client"}
"""Names of OTel's instrumentors, where they are not the library's."""
