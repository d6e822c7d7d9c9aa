"""What an app does with redis.asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff

from tests.outbound.steps import Steps
from tests.outbound.steps.redis_clients import aclient, aclosed, shared

steps = Steps()


@steps
async def asyncio_commands() -> object:
    """The same kinds of command, awaited."""
    async with aclient() as r:
        return [
            await r.set("a", b"\x00\xff"),
            await r.get("a"),
            await r.incr("ai"),
            await r.hset("ah", mapping={"a": 1}),
            await r.hgetall("ah"),
            await r.get("missing"),
            await r.zadd("az", {"m": 1.5}),
            await r.zrange("az", 0, -1, withscores=True),
            sorted([key async for key in r.scan_iter("a*")]),
            await r.blpop(["never"], timeout=0.05),
            await r.xadd("ax", {"n": 1}),
            await r.xread({"ax": "0"}, block=10),
        ]


@steps
async def asyncio_gather() -> object:
    """Identical and different calls at once."""
    async with aclient() as r:
        await r.set("g", 0)
        sets = await asyncio.gather(*(r.set(f"g{n}", n) for n in range(8)))
        gets = await asyncio.gather(*(r.get(f"g{n}") for n in range(8)))
        return [sets, gets, sorted(await asyncio.gather(*(r.incr("g") for _ in range(4))))]


@steps
async def asyncio_lanes() -> object:
    """Three tasks making the same calls, each with its own answers."""
    async with aclient() as r:
        await r.delete("lane")

        async def work(count: int) -> list[int]:
            seen = []
            for _ in range(count):
                seen.append(await r.incr("lane"))
                await asyncio.sleep(0)
            return seen

        return await asyncio.gather(*(work(count) for count in (3, 3, 3)))


@steps
async def asyncio_pipelines() -> object:
    """Transactions, plain pipelines, errors and WATCH."""
    async with aclient() as r:
        await r.set("text", "x")
        seen: list[Any] = [await r.pipeline().set("ap", 1).incr("ap").execute()]
        seen.append(await r.pipeline(transaction=False).get("ap").incr("text").execute(raise_on_error=False))
        seen.append(await r.pipeline().incr("text").execute(raise_on_error=False))
        try:
            await r.pipeline().incr("text").execute()
        except redis.ResponseError as error:
            seen.append(error)
        async with r.pipeline() as pipe:
            await pipe.watch("ap")
            value = int(await pipe.get("ap"))
            pipe.multi()
            seen.append(await pipe.set("ap", value + 1).execute())
        return seen


@steps
async def asyncio_lock() -> object:
    """A lock, awaited."""
    async with aclient() as r:
        held = r.lock("alock", timeout=30)
        return [
            await held.acquire(),
            await held.owned(),
            await r.lock("alock").acquire(blocking=False),
            await held.release(),
        ]


@steps
async def asyncio_script() -> object:
    """A script, awaited."""
    async with aclient() as r:
        script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        await r.script_flush()
        return [await script(keys=["ascript"], args=[2]), await script(keys=["ascript"], args=[3])]


async def _amessages(protocol: int) -> object:
    async with aclient(protocol=protocol) as r:
        seen: list[Any] = []
        async with r.pubsub() as listener:
            await listener.subscribe("anews")
            seen += [await listener.get_message(timeout=1), await listener.get_message(timeout=0.02)]
            seen += [await r.publish("anews", "one"), await listener.get_message(timeout=1)]
            await listener.psubscribe("an*")
            seen += [await listener.get_message(timeout=1), await r.publish("anews", "two")]
            async for message in listener.listen():
                seen.append(message)
                if message["type"] == "pmessage":
                    break
        return seen


@steps
async def asyncio_pubsub_resp2() -> object:
    """Messages and empty polls in the old protocol, awaited."""
    return await _amessages(2)


@steps
async def asyncio_pubsub_resp3() -> object:
    """Messages and empty polls in the new protocol, awaited."""
    return await _amessages(3)


@steps
async def asyncio_decoded() -> object:
    """Text, in both protocols."""
    seen = []
    for protocol in (2, 3):
        async with aclient(protocol=protocol, decode_responses=True, db=2, client_name="atests") as r:
            seen.append(
                [
                    await r.set("d", "é"),
                    await r.get("d"),
                    await r.hset("dh", "a", "b"),
                    await r.hgetall("dh"),
                    await r.client_getname(),
                ]
            )
    return seen


@steps
async def asyncio_errors() -> object:
    """Errors of the server, a refused connection, a timeout."""
    seen: list[Any] = []
    async with aclient() as r:
        for call in (r.lpush("text", 1), r.execute_command("NOSUCH"), r.incr("text")):
            try:
                seen.append(await call)
            except redis.RedisError as error:
                seen.append(error)
    for broken, name in (
        (redis.asyncio.Redis(host="127.0.0.1", port=1, retry=redis.asyncio.retry.Retry(NoBackoff(), 1)), "x"),
        (aclient(socket_timeout=0.05, retry=redis.asyncio.retry.Retry(NoBackoff(), 0)), "never"),
    ):
        try:
            seen.append(await broken.blpop([name], timeout=1))
        except redis.RedisError as error:
            seen.append(error)
        await aclosed(broken)
    return seen


@steps
async def asyncio_cancelled() -> object:
    """A call that the app stops waiting for; the client works on."""
    async with aclient() as r:
        try:
            await asyncio.wait_for(r.blpop(["never"], timeout=5), 0.05)
        except TimeoutError as error:
            return [type(error).__name__, await r.set("after", "wards"), await r.get("after")]
    return None


@steps
async def first_event_loop() -> object:
    """A client made in one event loop; its connection is closed with it."""
    r = shared["async"] = aclient()
    seen = [await r.set("loops", 1), await r.incr("loops")]
    await r.connection_pool.disconnect()
    return seen


@steps
async def second_event_loop() -> object:
    """The same client in another event loop."""
    r = shared.pop("async")
    seen = [await r.incr("loops"), await r.get("loops")]
    await aclosed(r)
    return seen
