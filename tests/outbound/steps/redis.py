"""What an app does with redis-py: commands, connections and their failures, asyncio."""

from __future__ import annotations

from tests.outbound.steps import redis_asyncio, redis_commands, redis_connections

steps = [*redis_commands.steps, *redis_connections.steps, *redis_asyncio.steps]
