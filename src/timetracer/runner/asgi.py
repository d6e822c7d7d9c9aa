"""Asks an ASGI application in this process, as a server would, without a socket; its lifespan spans the run.

Upstream: the ASGI specification (https://asgi.readthedocs.io/en/latest/specs/).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from timetracer.errors import ConfigError
from timetracer.runner.questions import Answer, Question

STARTUP_SECONDS = 60.0
"""An application gets so long to start, and to end."""


class Driver:
    """One ASGI application, in an event loop of its own."""

    def __init__(self, app: Callable[..., Any], name: str) -> None:
        self._app, self._name = app, name
        self._runner = asyncio.Runner()
        self._lifespan = _Lifespan(app)

    def open(self) -> None:
        """Starts the application.

        Raises:
            ConfigError: it says that it cannot start.
        """
        failed = self._runner.run(self._lifespan.start())
        if failed:
            raise ConfigError("--app", self._name, f"an application that starts; it said: {failed}")

    def ask(self, question: Question) -> Answer:
        """Returns what the application answers; what it raises is part of the answer."""
        return self._runner.run(self._ask(question), context=contextvars.copy_context())

    async def _ask(self, question: Question) -> Answer:
        exchange = _Exchange(question)
        with exchange.answer, contextlib.suppress(_Left):
            await self._app(scope_of(question, self._lifespan.state), exchange.receive, exchange.send)
        exchange.answer.body = b"".join(exchange.body)[: question.limit]
        return exchange.answer

    def close(self) -> None:
        """Ends the application."""
        self._runner.run(self._lifespan.stop())
        self._runner.close()


class _Left(OSError):
    """What a server raises in `send` once the client is gone."""


class _Exchange:
    """The messages of one request."""

    def __init__(self, question: Question) -> None:
        self.answer, self.body = Answer(), list[bytes]()
        self._chunks = list(question.chunks) or [b""]
        self._limit = question.limit
        self._done = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._chunks:
            chunk = self._chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}
        await self._done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self._done.is_set() and self._limit is not None:
            raise _Left("the client left")
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            headers = message.get("headers", ())
            self.answer.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
        elif message["type"] == "http.response.body":
            self.body.append(bytes(message.get("body", b"")))
            enough = self._limit is not None and sum(map(len, self.body)) >= self._limit
            if enough or not message.get("more_body", False):
                self._done.set()


def scope_of(question: Question, state: dict[str, Any] | None) -> dict[str, Any]:
    """Returns a request as a server describes it."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": question.method,
        "scheme": question.scheme,
        "path": unquote(question.path),
        "raw_path": question.path.encode("latin-1", "replace"),
        "query_string": question.query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1", "replace")) for k, v in question.headers],
        "client": ("127.0.0.1", 0),
        "server": question.place,
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope


class _Lifespan:
    """Starts and ends an application that has a lifespan; one that has none raises, and is let be."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self.state: dict[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed = ""

    async def start(self) -> str:
        """Returns why the application does not start; an empty text if it does."""
        self._inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said = asyncio.Event()
        state: dict[str, Any] = {}
        self._task = asyncio.create_task(self._run(state))
        await self._tell("lifespan.startup")
        if not self._task.done():
            self.state = state
        return self._failed

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._tell("lifespan.shutdown")
            self._task.cancel()

    async def _tell(self, event: str) -> None:
        self._said.clear()
        self._inbox.put_nowait({"type": event})
        waiting = asyncio.create_task(self._said.wait())
        tasks = [waiting] if self._task is None else [waiting, self._task]
        await asyncio.wait(tasks, timeout=STARTUP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _run(self, state: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):  # the specification: an application without a lifespan raises
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
            await self._app(scope, self._inbox.get, self._take)

    async def _take(self, message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._failed = str(message.get("message") or "lifespan.startup.failed")
        self._said.set()
