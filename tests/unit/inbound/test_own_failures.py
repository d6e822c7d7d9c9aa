"""What fails in our own keeping of an inbound call stays ours: its client is answered as without us."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import django.conf
import django.core.handlers.asgi
import django.core.handlers.wsgi
import django.http
import django.urls
import django.utils.functional
import flask
import litestar
import pytest
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import timetracer
from tests.unit.injected import Injected
from timetracer.cassette.store import find_cassettes, read_cassette
from timetracer.config import TraceConfig
from timetracer.engine import guests
from timetracer.engine.door import door
from timetracer.inbound import asgi, wsgi
from timetracer.inbound import django as for_django
from timetracer.inbound import flask as for_flask
from timetracer.inbound import litestar as for_litestar
from timetracer.inbound import starlette as for_starlette

_INBOUND = (str(Path(asgi.__file__).parent), guests.__file__)
OUTERMOST = {
    "Middleware.__init__",
    "Middleware.__call__",
    "Middleware._serve_async",
    "serve",
    "install.<locals>.__call__",
    "install.<locals>.load_middleware",
    "_naming",
    "_naming.<locals>.start",
    "_note_exception",
    "_watch_exceptions",
    "_begin",
    "Guest.note",
    "Guest.body",
    "Guest.request_body",
    "Guest.resume",
    "Guest.answered",
    "_Messages.__init__",
    "_Messages.receive",
    "_Messages._received",
    "_Messages.send",
    "_Answer.__init__",
    "_Answer.start",
    "_Answer.start.<locals>.copying",
    "_Answer.end",
    "_Outgoing.__init__",
    "_Outgoing.__iter__",
    "_Outgoing.__next__",
    "_Outgoing.close",
    "_Outgoing.__del__",
    "Outgoing.__init__",
    "Outgoing.close",
    "Outgoing._failed",
    "OutgoingIterable.__init__",
    "OutgoingIterable.__iter__",
    "OutgoingIterable.__next__",
    "OutgoingAsyncIterable.__init__",
    "OutgoingAsyncIterable.__aiter__",
    "OutgoingAsyncIterable.__anext__",
    "OutgoingAsyncIterable.aclose",
    "IncomingFile.__getattr__",
    "IncomingFile.__getattr__.<locals>.<lambda>",
    "_filled",
    "IncomingFile.__iter__",
    "IncomingFile.read",
    "IncomingFile.readline",
    "IncomingFile.readlines",
    "IncomingFile._copied",
}
"""Functions that only call the app's own, or what is guarded: a few instructions that keep nothing."""


def _keeps(code: CodeType) -> bool:
    return code.co_filename.startswith(_INBOUND) and code.co_qualname not in OUTERMOST


# ------------------------------------------------------------------------------------------------ servers


def _by_asgi(app: Any, path: str) -> Any:
    """Returns what a server gets of an application, or the error."""
    messages = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"}]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "headers": []}
    scope |= {"headers": [(b"host", b"testserver"), (b"content-length", b"3")], "query_string": b"q=1"}
    scope |= {"root_path": "", "raw_path": path.encode(), "server": ("testserver", 80), "client": ("127.0.0.1", 1)}
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        asyncio.run(app(scope, receive, send))
    except ZeroDivisionError as error:
        sent.append(repr(error))
    return sent


def _by_wsgi(app: Any, path: str) -> Any:
    sent: list[Any] = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "q=1", "CONTENT_LENGTH": "3"}
    environ |= {"SERVER_NAME": "testserver", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": ""}
    environ |= {"wsgi.input": io.BytesIO(b"abc"), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr}  # type: ignore[dict-item]
    environ |= {"HTTP_HOST": "testserver", "wsgi.version": (1, 0)}  # type: ignore[dict-item]

    def start(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        sent.append((status, headers))
        return sent.append

    try:
        answer = app(environ, start)
        sent.append(b"".join(answer))
        getattr(answer, "close", bool)()
    except ZeroDivisionError as error:
        sent.append(repr(error))
    return sent


# ------------------------------------------------------------------------------------------------ applications


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b"two"):
        yield piece


def _plain_wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
    write = start_response("200 OK", [("X-A", "1")])
    assert environ["wsgi.input"].readlines() == [b"abc"]
    write(b"written")
    yield b"one"
    if environ["PATH_INFO"] == "/failing":
        raise ZeroDivisionError
    yield b"two"


async def _plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    body = [await receive(), await receive()]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": body[0]["body"], "more_body": True})
    if scope["path"] == "/failing":
        raise ZeroDivisionError
    await send({"type": "http.response.body", "body": body[1]["body"]})


def _starlette() -> Any:
    async def whole(request: Any) -> Response:
        return Response(await request.body())

    async def streamed(request: Any) -> Response:
        return StreamingResponse(_pieces())

    async def failing(request: Any) -> Response:
        raise ZeroDivisionError

    routes = [Route(f"/{each.__name__}", each, methods=["POST"]) for each in (whole, streamed, failing)]
    return for_starlette.Middleware(Starlette(routes=routes), door)


def _litestar() -> Any:
    @litestar.post("/whole", sync_to_thread=False)
    def whole() -> str:
        return "one"

    @litestar.post("/failing", sync_to_thread=False)
    def failing() -> str:
        raise ZeroDivisionError

    def middleware(app: Any) -> Any:
        return for_litestar.Middleware(app, door)

    return litestar.Litestar([whole, failing], middleware=[middleware], openapi_config=None)


def _flask() -> Any:
    app = flask.Flask("app")

    @app.post("/whole")
    def whole() -> Any:
        return flask.request.get_data()

    @app.post("/streamed")
    def streamed() -> Any:
        return flask.Response(iter([b"one", "two"]))

    @app.post("/failing")
    def failing() -> Any:
        raise ZeroDivisionError

    return for_flask.Middleware(app.wsgi_app, door)


def _whole(request: Any) -> Any:
    return django.http.HttpResponse(request.body)


def _streamed(request: Any) -> Any:
    found = _pieces() if isinstance(request, django.core.handlers.asgi.ASGIRequest) else iter([b"one", "two"])
    return django.http.StreamingHttpResponse(found)


def _failing(request: Any) -> Any:
    raise ZeroDivisionError


urlpatterns = [
    django.urls.path("whole", _whole),
    django.urls.path("streamed", _streamed),
    django.urls.path("failing", _failing),
]


@pytest.fixture
def _settings() -> Iterator[None]:
    """Django's, for one test."""
    options: dict[str, Any] = {"ROOT_URLCONF": __name__, "SECRET_KEY": "for tests", "ALLOWED_HOSTS": ["*"]}
    django.conf.settings.configure(**options, LOGGING_CONFIG=None, DATABASES={}, MIDDLEWARE=[])
    yield
    django.conf.settings._wrapped = django.utils.functional.empty
    django.urls.clear_url_caches()


def _django(handler: Any) -> Any:
    handler._middleware_chain = for_django.Middleware(handler._middleware_chain, door)
    return handler


APPS: dict[str, tuple[Callable[[], Any], Callable[[Any, str], Any]]] = {
    "asgi": (lambda: asgi.Middleware(_plain_asgi, door), _by_asgi),
    "starlette": (_starlette, _by_asgi),
    "litestar": (_litestar, _by_asgi),
    "django-asgi": (lambda: _django(django.core.handlers.asgi.ASGIHandler()), _by_asgi),
    "wsgi": (lambda: wsgi.Middleware(_plain_wsgi, door), _by_wsgi),
    "flask": (_flask, _by_wsgi),
    "django-wsgi": (lambda: _django(django.core.handlers.wsgi.WSGIHandler()), _by_wsgi),
}


@pytest.mark.usefixtures("_settings")
@pytest.mark.parametrize("path", ["/whole", "/streamed", "/failing"])
@pytest.mark.parametrize("app", APPS)
def test_memory_that_runs_out_in_our_code_never_reaches_the_client(
    app: str, path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever line it hits that describes the call or keeps its bodies, the server gets what it gets without us."""
    caplog.set_level(logging.CRITICAL)
    make, by = APPS[app]
    served = make()
    wanted, reached, points = by(served, path), [], 0
    timetracer.start(TraceConfig(mode="record", cassette_dir=str(tmp_path)))
    try:
        while True:
            points += 1
            injected = Injected(points, _keeps)
            try:
                with injected:
                    got = by(served, path)
            except BaseException as error:  # noqa: BLE001 - whatever reaches the server
                got = error
            if not injected.where:
                break
            if got != wanted:
                reached.append(f"{injected.where}: {got!r}")
    finally:
        timetracer.stop()
    assert reached == []
    kept = [each.inbound for each in map(read_cassette, find_cassettes(tmp_path)) if each.inbound is not None]
    assert any("could not be kept: MemoryError" in (each.incomplete or "") for each in kept)
    assert points > 20
