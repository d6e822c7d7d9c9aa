"""aiohttp: one exchange is one call of the innermost client middleware, beneath redirects, authentication and cookies.

The middleware is ours: every request is given it, and it does nothing but call the next handler.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.http import HttpVersion, RawResponseMessage
from aiohttp.payload import BytesPayload
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from timetracer.errors import UnsupportedError
from timetracer.outbound.aiohttp_body import CopyingReader, Payload, RecordedReader, Written
from timetracer.outbound.http_message import RawHeaders, http_request
from timetracer.plugin import Call, Capture, Exchange, Patch, Plugin, Reply, Request, Upload, Value
from timetracer.values import Later

_ACCEPTED = inspect.signature(aiohttp.ClientResponse.__init__).parameters  # `stream_writer` came later than the others
_SWITCHING = 101
# https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client_exceptions.py (`_conn_key`)
_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError)


async def exchange(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    """Hands a request on: the innermost middleware, here to be wrapped."""
    return await handler(request)


def prepare(call: Call) -> Call:
    """Adds the middleware to whatever the session or the request has."""
    given = call.kwargs.get("middlewares")
    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client.py (effective_middlewares)
    outer = call.owner._middlewares if given is None else given
    return Call(call.owner, call.args, {**call.kwargs, "middlewares": (*outer, exchange)})


def describe(call: Call) -> Request:
    """Describes what is to be sent."""
    request: aiohttp.ClientRequest = call.arg(0, "request")
    headers = RawHeaders(tuple(request.headers.items()))
    return http_request(request.method, str(request.url), headers, _body(request))


def _body(request: aiohttp.ClientRequest) -> bytes | Upload | None:
    payload: Any = request.body
    if isinstance(payload, Payload):
        payload = payload.__wrapped__  # sent again: a redirect, a retry
    if not payload:
        return None
    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/payload.py (BytesPayload)
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, BytesPayload):
        return bytes(payload._value)

    def replace(stream: Any) -> None:
        # Not by the property, which says that the payload was not closed; it is still in use.
        body: Any = Payload(payload, stream)
        request._body = body

    return Upload(Written(payload, request), replace)


def encode(call: Call, response: aiohttp.ClientResponse, capture: Capture) -> aiohttp.ClientResponse:
    """Keeps the head, and copies the body while the app reads it."""
    content = response.content
    version = response.version or HttpVersion(1, 1)
    value: dict[str, Any] = {
        "reason": response.reason,
        "version": [version.major, version.minor],
        "empty": content is aiohttp.EMPTY_PAYLOAD,
        "limit": 0 if content is aiohttp.EMPTY_PAYLOAD else content.get_read_buffer_limits()[0],
    }
    names = [name for name, _ in response.headers.items()]
    if names != [name.decode("latin-1") for name, _ in response.raw_headers]:
        value["names"] = [str(name) for name in names]  # the parser spells names that it knows in its own way
    inside: list[int] = []
    if response.closed:
        value["closed"] = True  # the body came with the head
    elif "chunked" in response.headers.get("Transfer-Encoding", ""):
        value["inside chunks"] = Later(lambda: inside)
    capture.reply(value, status=response.status, headers=RawHeaders(response.raw_headers))
    sink = capture.body()
    if response.status == _SWITCHING or content.at_eof():
        sink.finish()
    else:
        response.content = CopyingReader(content, sink, inside)  # type: ignore[assignment]
    return response


def decode(call: Call, reply: Reply) -> aiohttp.ClientResponse:
    """Has a response start over a connection that holds the recorded answer."""
    if reply.status == _SWITCHING:
        raise UnsupportedError("websockets of aiohttp cannot be replayed")
    request: aiohttp.ClientRequest = call.arg(0, "request")
    value, loop = reply.value, asyncio.get_running_loop()
    raw = tuple((name.encode("latin-1"), text.encode("latin-1")) for name, text in reply.headers)
    names = value.get("names") or [_text(name) for name, _ in raw]
    headers = CIMultiDict((name, _text(text)) for name, (_, text) in zip(names, raw, strict=True))
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    message = RawResponseMessage(
        HttpVersion(*value["version"]), reply.status or 0, value["reason"], CIMultiDictProxy(headers), raw,
        False, None, False, chunked,
    )  # fmt: skip
    content: Any = aiohttp.EMPTY_PAYLOAD
    if not value["empty"]:
        inside = value.get("inside chunks", ())
        content = RecordedReader(
            reply.body, limit=value["limit"], timer=_timer(request), loop=loop, chunked=chunked, inside=inside
        )
    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client_reqrep.py (ClientRequest.send)
    arguments = {
        "writer": None,
        "continue100": None,
        "timer": _timer(request),
        "request_info": request.request_info,
        "traces": request._traces,
        "loop": loop,
        "session": request.session,
        "stream_writer": SimpleNamespace(output_size=0),
    }
    accepted = {key: given for key, given in arguments.items() if key in _ACCEPTED}
    response: aiohttp.ClientResponse = request.response_class(request.method, request.original_url, **accepted)
    started = response.start(_Connection(message, content))  # type: ignore[arg-type]
    try:
        started.send(None)  # it waits for nothing but the head, which is here
    except StopIteration:
        if value.get("closed"):
            # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client_reqrep.py (ClientResponse._response_eof)
            response._response_eof()
        return response
    raise UnsupportedError("this version of aiohttp waits while a response starts")


def _text(header: bytes) -> str:
    return header.decode("utf-8", "surrogateescape")  # as aiohttp's own parsers do


def _timer(request: aiohttp.ClientRequest) -> Any:
    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/client_reqrep.py (ClientRequest.__init__)
    return request._timer


class _Connection:
    """As much of a connection as a response uses; it is its own protocol."""

    transport = None
    upgraded = False

    def __init__(self, message: RawResponseMessage, content: Any) -> None:
        self.protocol = self
        self._answer = message, content
        self._released: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Keeps what is to be done when the response needs no connection any more (the total timeout ends)."""
        self._released.append(callback)

    async def read(self) -> tuple[RawResponseMessage, Any]:
        return self._answer

    def release(self) -> None:
        released, self._released = self._released, []
        for callback in released:
            callback()

    close = release


def encode_error(call: Call, error: BaseException) -> Value:
    """Turns a cancellation by the total timeout into the timeout that the app sees, and notes a proxy's address."""
    # https://github.com/aio-libs/aiohttp/blob/v3.12.15/aiohttp/helpers.py (TimerContext)
    request: aiohttp.ClientRequest = call.arg(0, "request")
    if isinstance(error, asyncio.CancelledError) and getattr(_timer(request), "_cancelled", False):
        timeout = TimeoutError()
        timeout.__cause__ = error
        return timeout
    if isinstance(error, _UNCONNECTED) and error._conn_key != request.connection_key:
        return {"error": error, "to": list(error._conn_key[:3])}
    if isinstance(error, aiohttp.ClientResponseError) and error.request_info != request.request_info:
        asked, answered = error.request_info, error.headers
        return {
            "error": error,
            "to": [asked.method, str(asked.url), str(asked.real_url)],
            "asked": _pairs(asked.headers),
            "answered": None if answered is None else _pairs(answered),
        }
    return error


def decode_error(call: Call, error: Any) -> BaseException:
    """Gives an error what belongs to this run: where it was to connect, and what it asked."""
    request: aiohttp.ClientRequest = call.arg(0, "request")
    to, kept = None, {}
    if isinstance(error, dict):
        error, to, kept = error["error"], error["to"], error
    if isinstance(error, _UNCONNECTED):
        key = request.connection_key
        if to is not None:
            key = key._replace(
                host=to[0], port=to[1], is_ssl=to[2], proxy=None, proxy_auth=None, proxy_headers_hash=None
            )
        error._conn_key = key
        error.args = (key, *error.args[1:])
    elif isinstance(error, aiohttp.ClientResponseError):
        error.request_info = request.request_info
        if to is not None:
            error.request_info = aiohttp.RequestInfo(URL(to[1]), to[0], _proxy(kept["asked"]), URL(to[2]))
            error.headers = None if kept["answered"] is None else _proxy(kept["answered"])
        error.args = (error.request_info, *error.args[1:])
    return error  # type: ignore[no-any-return]


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(str(name), value) for name, value in headers.items()]


def _proxy(pairs: Any) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


PLUGIN = Plugin(
    name="aiohttp",
    kind="http",
    library="aiohttp>=3.12,<4",
    patches=(
        Patch("aiohttp:ClientSession._request", prepare=prepare),
        Patch(f"{__name__}:exchange", Exchange(describe=describe, encode=encode, decode=decode)),
    ),
    encode_error=encode_error,
    decode_error=decode_error,
)
