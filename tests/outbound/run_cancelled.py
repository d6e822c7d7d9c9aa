"""Cancels calls in every way that asyncio and anyio have, and prints how each one ended: live, recorded or replayed."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import httpx
import psycopg
import redis.asyncio
from psycopg_pool import AsyncConnectionPool

import timetracer

URL, REDIS, POSTGRES = os.environ["UPSTREAM"], os.environ["REDIS"], os.environ["POSTGRES"]
SOON, LATE = 0.4, 5.0
noise: list[str] = []
Call = Callable[[], Awaitable[Any]]


async def httpx_head() -> None:
    async with httpx.AsyncClient(verify=False) as client:
        await client.get(f"{URL}/slow/{LATE}")


async def httpx_body() -> None:
    async with httpx.AsyncClient(verify=False) as client, client.stream("GET", f"{URL}/slow-body/{LATE}") as response:
        async for _ in response.aiter_raw():
            pass


async def aiohttp_head() -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{URL}/slow/{LATE}") as response:
        await response.read()


async def aiohttp_body() -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{URL}/slow-body/{LATE}") as response:
        await response.read()


async def redis_blocking() -> None:
    client = redis.asyncio.from_url(REDIS)
    try:
        await client.blpop("nothing-here", int(LATE))
    finally:
        await client.aclose()


async def psycopg_query() -> None:
    async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
        await connection.execute("SELECT pg_sleep(%s)", [LATE])


async def psycopg_pool() -> None:
    async with _pool() as pool, pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT 1")
        await connection.execute("SELECT pg_sleep(%s)", [LATE])


@asynccontextmanager
async def _pool() -> AsyncIterator[AsyncConnectionPool]:
    """Gives a pool that serves the next one after a call was cancelled, and that leaves nothing running."""
    pool = AsyncConnectionPool(POSTGRES, min_size=1, open=False)
    try:
        await pool.open()
        yield pool
    finally:
        with anyio.CancelScope(shield=True):
            async with pool.connection() as connection:
                assert await (await connection.execute("SELECT 'next'")).fetchone() == ("next",)
            await pool.close()


async def wait_for(call: Call) -> None:
    await asyncio.wait_for(call(), SOON)  # type: ignore[arg-type]


async def timeout(call: Call) -> None:
    async with asyncio.timeout(SOON):
        await call()


async def cancel(call: Call) -> None:
    task = asyncio.ensure_future(call())
    await asyncio.sleep(SOON)
    task.cancel("the app's word")
    await task


async def task_group(call: Call) -> None:
    async def fail() -> None:
        await asyncio.sleep(SOON)
        raise ValueError("a sibling")

    async with asyncio.TaskGroup() as group:
        group.create_task(call())  # type: ignore[arg-type]
        group.create_task(fail())


async def move_on(call: Call) -> bool:
    with anyio.move_on_after(SOON) as scope:
        await call()
    return scope.cancelled_caught


async def fail_after(call: Call) -> None:
    with anyio.fail_after(SOON):
        await call()


async def cancel_scope(call: Call) -> str:
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.sleep(SOON)
        group.cancel_scope.cancel()
    return "left"


CALLS: list[Call] = [httpx_head, httpx_body, aiohttp_head, aiohttp_body, redis_blocking, psycopg_query, psycopg_pool]
WAYS = [wait_for, timeout, cancel, task_group, move_on, fail_after, cancel_scope]


def told(error: BaseException | None) -> Any:
    """Returns what an app can see of an error."""
    if error is None:
        return None
    inner = [told(each) for each in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    return [type(error).__name__, "" if inner else repr(error.args), told(error.__cause__), inner]


async def once(way: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
    """Returns how it ended, what is left running, what is left to be cancelled, and whether it came in time."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: noise.append(str(about)))
    began = time.monotonic()
    try:
        ended: Any = await way(call)
    except BaseException as error:  # noqa: BLE001 - it is what is compared
        ended = told(error)
    early = time.monotonic() - began < LATE - 0.5
    here = asyncio.current_task()
    assert here is not None
    left = [str(task.get_coro()) for task in asyncio.all_tasks() if task is not here]
    return [ended, left, here.cancelling(), early]


def main(mode: str, folder: Path) -> None:
    """Does everything in one mode."""
    found = {}
    for call in CALLS:
        for way in WAYS:
            name = f"{call.__name__} {way.__name__}"
            path = folder / f"{name}.json"
            scope: Any = {"record": timetracer.record, "replay": timetracer.replay}.get(mode, nullcontext)
            with scope(path) if mode != "live" else nullcontext():
                ended = asyncio.run(once(way, call))
            gc.collect()
            found[name] = [*ended, list(noise)]
            noise.clear()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
