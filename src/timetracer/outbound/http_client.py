"""urllib.request: one exchange is one `do_open` of its HTTP handler, beneath redirects, authentication and cookies.

`http.client` used by itself is not captured: it asks and answers in separate calls, and its answer is a stream.
"""

from __future__ import annotations

import http.client
import urllib.request
from typing import Any

from timetracer.outbound.http_message import header_pairs, http_request
from timetracer.outbound.http_wire import copy_body, response_over
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request, Upload


class Body:
    """An upload while it is copied, which remembers the body it stands for."""

    def __init__(self, stream: Any, original: Any) -> None:
        self._stream, self.original = stream, original

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def describe(call: Call) -> Request:
    """Describes what the handler is to send."""
    request: urllib.request.Request = call.arg(1, "req")
    return http_request(request.get_method(), request.full_url, header_pairs(request.header_items()), _body(request))


def _body(request: urllib.request.Request) -> bytes | Upload | None:
    data: Any = request.data.original if isinstance(request.data, Body) else request.data
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)

    def replace(stream: Any) -> None:
        # Not by the property, which takes the headers away that were made for this very body.
        # https://github.com/python/cpython/blob/3.13/Lib/urllib/request.py (Request.data)
        request._data = Body(stream, data)  # type: ignore[attr-defined]

    return Upload(data, replace)


def _give_body_back(call: Call) -> None:
    request = call.arg(1, "req")
    if isinstance(request.data, Body):
        request._data = request.data.original


def encode(call: Call, response: http.client.HTTPResponse, capture: Capture) -> http.client.HTTPResponse:
    """Keeps the head, and copies the body while the app reads it."""
    _give_body_back(call)
    headers: Any = response.headers
    value = {"reason": response.reason, "version": response.version, "url": response.geturl()}
    capture.reply(value, status=response.status, headers=list(headers.items()))
    copy_body(response, capture.body())
    return response


def decode(call: Call, reply: Reply) -> http.client.HTTPResponse:
    """Has `http.client` read the recorded answer."""
    request: urllib.request.Request = call.arg(1, "req")
    value = reply.value
    response: Any = response_over(
        reply.body,
        status=reply.status or 0,
        reason=value["reason"],
        version=value["version"],
        headers=reply.headers,
        method=request.get_method(),
    )
    response.url, response.msg = value["url"], response.reason  # as `do_open` does
    return response  # type: ignore[no-any-return]


def encode_error(call: Call, error: BaseException) -> BaseException:
    """Gives the request its own body back: the app may send it again."""
    _give_body_back(call)
    return error


PLUGIN = Plugin(
    name="http_client",
    kind="http",
    library="",
    patches=(
        Patch(
            "urllib.request:AbstractHTTPHandler.do_open",
            Exchange(describe=describe, encode=encode, decode=decode),
        ),
    ),
    encode_error=encode_error,
)
