"""ASGI requests: the door around an application; bodies are copied as their messages pass, websockets go by untouched.

Upstream: the ASGI specification for HTTP (https://asgi.readthedocs.io/en/latest/specs/www.html).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

from timetracer.plugin import Door, Inbound, Sink, Visit

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Template: TypeAlias = Callable[[Scope, str], str | None]
"""Returns the route's template once routing has run, given the scope and the root path as it was before."""

VISIT = "timetracer.visit"
"""In the scope: the visit of this request, and the mark that its door is open: a mounted application opens no other."""

RAISED = "timetracer.raised"
"""In the scope: the exception that a framework turned into an answer; an error if the answer is a 5xx."""

_PAST_US = ("http.response.pathsend", "http.response.zerocopysend")
"""Extensions by which a server sends a file that never passes through `send`. Without them the application reads it."""


def unnamed(scope: Scope, root_path: str) -> None:
    """A plain ASGI application has no route templates."""


class Middleware:
    """An ASGI application that opens the door for each request of the one that it wraps."""

    def __init__(self, app: Application, door: Door, template: Template = unnamed) -> None:
        self.app, self.door, self.template = app, door, template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(self.app, self.door, self.template, scope, receive, send)


async def serve(app: Application, door: Door, template: Template, scope: Scope, receive: Receive, send: Send) -> None:
    """Calls `app` behind the door. Work after the response (background tasks) is done inside that call."""
    if scope["type"] == "lifespan":
        await app(scope, receive, _ending(door, send))
        return
    if scope["type"] == "websocket":
        with door(describe, scope):
            await app(scope, receive, send)
        return
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    root_path = scope.get("root_path", "")
    if VISIT in scope:
        try:
            await app(scope, receive, send)
        finally:  # who stands further out and knows routes names it again, mounts included
            scope[VISIT].note(_name, scope, template, root_path)
        return
    with door(describe, scope) as visit:
        scope[VISIT] = visit
        if scope.get("extensions"):
            scope["extensions"] = {k: v for k, v in scope["extensions"].items() if k not in _PAST_US}
        messages = _Messages(visit, scope, receive, send)
        if visit.reads_ahead:
            await messages.read_ahead()
        try:
            await app(scope, messages.receive, messages.send)
        except BaseException as error:
            visit.note(messages.end, error)
            raise
        else:
            visit.note(messages.end, None)
        finally:
            visit.note(_name, scope, template, root_path)


def _name(scope: Scope, template: Template, root_path: str) -> None:
    route = template(scope, root_path)
    if route:
        scope[VISIT].route(route)


def _ending(door: Door, send: Send) -> Send:
    """Returns what tells the door before the server hears that the application has ended.

    uvicorn then dies of the signal that it was sent, and nothing that Python runs at exit is run
    (https://github.com/encode/uvicorn/blob/0.34.0/uvicorn/server.py, `capture_signals`).
    """

    async def told(message: Any) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            door.ended()
        await send(message)

    return told


def describe(scope: Scope) -> Inbound:
    """Describes a request; its body is copied when the application receives it."""
    raw_path: bytes | None = scope.get("raw_path")
    path = quote(scope["path"]) if raw_path is None else raw_path.decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    return Inbound(
        type="http.server" if scope["type"] == "http" else "http.websocket",
        method=scope.get("method", "GET"),
        target=f"{path}?{query}" if query else path,
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        fields={"scheme": scope.get("scheme", "http")},
    )


def _bodiless(scope: Scope) -> bool:
    """Whether no body comes, by what HTTP/1 says ahead; the application may then never ask for one."""
    if not str(scope.get("http_version", "")).startswith("1"):
        return False
    ahead = {name.lower(): value for name, value in scope["headers"]}
    return ahead.get(b"content-length", b"0").strip() == b"0" and b"transfer-encoding" not in ahead


class _Messages:
    """What passes between server and application for one request: handed on first, then copied."""

    __slots__ = ("_ahead", "_gone", "_receive", "_request", "_response", "_scope", "_send", "_visit")

    def __init__(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        self._visit, self._scope, self._receive, self._send = visit, scope, receive, send
        self._request = visit.request_body()
        if visit.note(_bodiless, scope):
            self._request.finish()
        self._response: Sink | None = None
        self._gone = False
        self._ahead: deque[Any] = deque()

    async def read_ahead(self) -> None:
        """Receives the whole body, for the application to receive it message by message."""
        more = True
        while more:
            message = await self._received()
            self._ahead.append(message)
            more = message.get("more_body", False)

    async def receive(self) -> Any:
        return self._ahead.popleft() if self._ahead else await self._received()

    async def _received(self) -> Any:
        message = await self._receive()
        self._visit.note(self._came, message)
        return message

    def _came(self, message: Any) -> None:
        if message["type"] == "http.request":
            self._request.feed(message.get("body", b""))
            if not message.get("more_body", False):
                self._request.finish()
        elif message["type"] == "http.disconnect":
            self._gone = True

    async def send(self, message: Any) -> None:
        await self._send(message)
        self._visit.note(self._went, message)

    def _went(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body" and self._response is not None:
            self._response.feed(message.get("body", b""))
            if not message.get("more_body", False):
                self._response.finish("partial" if self._gone else "complete")

    def _start(self, message: Any) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        self._visit.answer(status=message["status"], headers=headers)
        raised = self._scope.get(RAISED)
        if raised is not None and message["status"] >= 500:
            self._visit.error(raised)
        if self._response is None:
            self._response = self._visit.body()

    def end(self, error: BaseException | None) -> None:
        """Ends what is still open: the client left, or the application broke off."""
        self._request.finish("partial")
        if self._response is not None:
            if isinstance(error, Exception) and not self._gone:
                self._response.finish("error", error)
            else:
                self._response.finish("partial")
