"""What a library's steps are: named functions, run once against live servers and once with none, and compared.

A steps module is one file per library, `tests/outbound/steps/<library>.py`:

    import redis

    from tests.outbound.steps import Steps, address

    steps = Steps()

    @steps
    def counts() -> object:
        client = redis.Redis.from_url(address("redis"))
        return [client.incr("n"), client.incr("n")]

    @steps
    async def waits() -> object: ...

A step takes nothing and returns what the app would see, as plain data: None, bool, int, float, str, bytes, list, tuple,
dict, exceptions (class, args, attributes, cause and context are compared), or anything whose `repr` says all of it. It
may raise: the exception is its outcome. Steps run in the order they are written, each in a span of its own, all in one
process, so a client may be shared by several steps. Async steps run in an event loop of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

Step = Callable[[], Any]


class Steps:
    """The steps of one library, in order."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def __call__(self, step: Step) -> Step:
        """Adds a step, as a decorator."""
        self._steps.append(step)
        return step

    def __iter__(self) -> Iterator[tuple[str, Step]]:
        return ((step.__name__, step) for step in self._steps)


def address(server: str) -> str:
    """Returns where the named server was while recording, as the test gave it to the suite."""
    return os.environ[f"STEPS_{server.upper()}"]
