"""A recorded request as it is sent again, and how applications in this process are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.runner.recordings import ROOT, recorded
from timetracer.cassette.model import Body
from timetracer.errors import ConfigError
from timetracer.runner import asgi, wsgi
from timetracer.runner.questions import Question, question_of


def asked(target: str = "/a%20b?x=1", **more: Any) -> Question:
    """A request that is sent again."""
    return question_of(recorded(target, **more), "t-1")


def test_headers_are_sent_as_recorded_with_the_trace_of_the_cassette() -> None:
    """Order and case are kept; the caller named is the recorded root, so that this very cassette answers."""
    headers = (("Host", "shop:81"), ("X-B", "1"), ("x-a", "2"), ("Connection", "close"), ("Content-Length", "99"))
    old = ("traceparent", f"00-{'1' * 32}-{'2' * 16}-00")
    question = asked(method="POST", sent=b"body", sent_headers=(*headers, old))
    assert question.headers == (
        ("Host", "shop:81"), ("X-B", "1"), ("x-a", "2"), ("Content-Length", "4"),
        ("traceparent", f"00-{'0' * 30}bb-{ROOT}-00"), ("Timetracer-Replay", "t-1"),
    )  # fmt: skip
    assert question.place == ("shop", 81)


def test_the_client_leaves_where_it_left() -> None:
    """An answer of which a part was read is read as far."""
    cassette = recorded(body=b"12345")
    assert cassette.inbound is not None
    assert cassette.inbound.result.body is not None
    cassette.inbound.result.body.end = "partial"
    assert question_of(cassette, "t-1").limit == 5


def test_wsgi() -> None:
    """The environ says what a server's would; the answer's parts are joined, and it is closed."""
    seen: dict[str, Any] = {}

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"two ", b"three"])

        def close(self) -> None:
            seen["closed"] = True

    def app(environ: dict[str, Any], start_response: Any) -> Parts:
        seen.update(environ)
        start_response("201 Made", [("X-A", "1")])(b"one ")
        seen["body"] = environ["wsgi.input"].read()
        return Parts()

    sent = (
        ("Host", "shop"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Content-Type", "t"),
    )
    answer = wsgi.Driver(app).ask(asked(method="POST", sent=b"body", sent_headers=sent))
    assert (answer.status, answer.reason, answer.headers, answer.body) == (
        201,
        "Made",
        (("X-A", "1"),),
        b"one two three",
    )
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["RAW_URI"]) == ("/a b", "x=1", "/a%20b?x=1")
    assert (seen["HTTP_COOKIE"], seen["HTTP_X_TWO"], seen["CONTENT_TYPE"]) == ("a=1; b=2", "1,2", "t")
    assert (seen["body"], seen["CONTENT_LENGTH"], seen["SERVER_PORT"], seen["closed"]) == (b"body", "4", "80", True)


def test_what_a_wsgi_application_raises_is_its_answer() -> None:
    """As a server would see it."""

    def app(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("no")

    assert repr(wsgi.Driver(app).ask(asked()).error) == "RuntimeError('no')"


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application with a lifespan, which streams for ever to who asks for /endless."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                scope["state"]["made"] = "yes"
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", scope["state"]["made"].encode())]})
    await send({"type": "http.response.body", "body": body or scope["raw_path"], "more_body": True})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"more", "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})
    assert (await receive())["type"] == "http.disconnect"


def test_asgi() -> None:
    """Its lifespan spans the run, its state reaches each request, and bodies pass both ways."""
    driver = asgi.Driver(streaming, "x:y")
    driver.open()
    assert driver.ask(asked(method="POST", sent=b"body")).body == b"body"
    answer = driver.ask(asked())
    assert (answer.status, answer.headers, answer.body, answer.error) == (200, (("x-a", "yes"),), b"/a%20b", None)
    driver.close()


def test_asgi_until_the_client_leaves() -> None:
    """An endless stream ends where the recorded client had enough."""
    cassette = recorded("/endless", body=b"/endlessmoremo")
    assert cassette.inbound is not None
    assert cassette.inbound.result.body is not None
    cassette.inbound.result.body = Body(raw=[b"/endlessmoremo"], end="partial")
    driver = asgi.Driver(streaming, "x:y")
    driver.open()
    assert driver.ask(question_of(cassette, "t-1")).body == b"/endlessmoremo"
    driver.close()


def test_asgi_that_does_not_start() -> None:
    """Its own word is in the error; one that knows no lifespan starts."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def without(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("only http")

    driver = asgi.Driver(failing, "x:y")
    with pytest.raises(ConfigError, match="no database"):
        driver.open()
    driver.close()
    driver = asgi.Driver(without, "x:y")
    driver.open()
    assert repr(driver.ask(asked()).error) == "ValueError('only http')"
    driver.close()
