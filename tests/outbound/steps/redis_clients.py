"""The clients that the redis steps use, and how they look at what a call did."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.outbound.steps import address

shared: dict[str, Any] = {}
"""Clients that several steps use, so that pooled connections are used again."""


def server() -> str:
    """Returns the server's URL without a database, which would win over an option."""
    return address("redis").rpartition("/")[0]


def client(**options: Any) -> redis.Redis:
    """Returns a new client; what it leaves behind is closed with its last reference."""
    return redis.Redis.from_url(server(), **options)


def aclient(**options: Any) -> redis.asyncio.Redis:
    """Returns a new asyncio client."""
    return redis.asyncio.Redis.from_url(server(), **options)


async def aclosed(made: redis.asyncio.Redis) -> None:
    """Closes an asyncio client; redis-py 5.0.0 has no `aclose` yet, and what came later warns of `close`."""
    await (made.aclose() if hasattr(made, "aclose") else made.close())


def pooled() -> redis.Redis:
    """Returns the one client that most steps share."""
    return shared.setdefault("client", client())


def never() -> Retry:
    """A retry that does not."""
    return Retry(NoBackoff(), 0)


def outcome(call: Any) -> Any:
    """Returns what `call` returns, or the error it raises."""
    try:
        return call()
    except (redis.RedisError, RuntimeError, ValueError) as error:
        return error
