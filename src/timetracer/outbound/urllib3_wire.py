"""urllib3's response as data and back, for every client built on urllib3."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import urllib3

# Exported as `urllib3.HTTPHeaderDict` since 2.0 only.
# https://github.com/urllib3/urllib3/blob/1.26.20/src/urllib3/_collections.py
from urllib3._collections import HTTPHeaderDict
from urllib3.util.retry import RequestHistory, Retry

from timetracer.outbound.http_message import RawHeaders
from timetracer.outbound.http_wire import copy_body, response_over, wire_headers
from timetracer.plugin import Capture, Reply, Source, Upload

_COUNTS = ("total", "connect", "read", "redirect", "status", "other")
_ACCEPTED = inspect.signature(
    urllib3.HTTPResponse.__init__
).parameters  # `version_string` came with 2.2, `sock_shutdown` with 2.3
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class Body:
    """An upload while it is copied, which remembers the body it stands for."""

    def __init__(self, stream: Any, original: Any) -> None:
        self._stream, self.original = stream, original

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def body_of(body: Any, replace: Any) -> bytes | Upload | None:
    """Returns a request body: its bytes where they are all there, else what is to be read."""
    if isinstance(body, Body):
        body = body.original
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if not hasattr(body, "read"):  # before bytes, as there: an mmap is read from where it stands
        try:
            return bytes(memoryview(body))
        except TypeError:
            pass  # no buffer: to be iterated
    return Upload(body, lambda stream: replace(Body(stream, body)))


def keep(response: urllib3.HTTPResponse, capture: Capture, *, preloaded: bool = False) -> None:
    """Keeps a response's head, and copies its body while it is read; one that was read ahead is kept as decoded."""
    # https://github.com/urllib3/urllib3/blob/2.5.0/src/urllib3/response.py (HTTPResponse.__init__)
    wire: Any = response._original_response
    value: dict[str, Any] = {
        "reason": response.reason,
        "version": response.version,
        "version string": getattr(response, "version_string", ""),
        "url": response.geturl(),
        "decode": response.decode_content,
        "enforce": response.enforce_content_length,  # False by default in 1.26
    }
    retries = response.retries
    if retries is not None:
        value["retries"] = {name: getattr(retries, name, None) for name in _COUNTS}
        value["history"] = [tuple(each) for each in retries.history]
    wired = getattr(wire, "msg", None) is not None
    headers = wire_headers(wire) if wired else RawHeaders(tuple(response.headers.items()))
    if preloaded:
        value["preloaded"] = True
        value["read"] = (response.tell(), getattr(response, "length_remaining", None), response.chunked)
    capture.reply(value, status=response.status, headers=headers)
    sink = capture.body()
    if preloaded:
        sink.feed(response.data or b"")
        sink.finish()
    else:
        copy_body(wire, sink)


def rebuild(reply: Reply, *, method: str, retries: Retry | None, pool: Any) -> urllib3.HTTPResponse:
    """Makes the response anew over its recorded body."""
    value = reply.value
    preloaded = value.get("preloaded", False)
    headers = [(key, text) for key, text in reply.headers if not (preloaded and key.lower() in _FRAMING)]
    wire = _wire(reply.body, reply.status or 0, value, headers, method)
    arguments = {
        "body": wire,
        "headers": HTTPHeaderDict(wire.msg.items()),
        "status": wire.status,
        "version": wire.version,
        "version_string": value["version string"],
        "reason": value["reason"],
        "preload_content": preloaded,
        "decode_content": value["decode"] and not preloaded,
        "original_response": wire,
        "pool": pool,
        "request_method": method,
        "request_url": value["url"],
        "enforce_content_length": value["enforce"],
        "sock_shutdown": _no_socket,
    }
    response = urllib3.HTTPResponse(**{key: given for key, given in arguments.items() if key in _ACCEPTED})
    if not preloaded and "sock_shutdown" in _ACCEPTED:
        response.shutdown = partial(_shut_down, wire)  # type: ignore[method-assign]
    if preloaded:
        response.decode_content = value["decode"]
        # https://github.com/urllib3/urllib3/blob/2.5.0/src/urllib3/response.py (HTTPResponse.tell)
        response._fp_bytes_read, response.length_remaining, response.chunked = value["read"]
        response.headers = HTTPHeaderDict(reply.headers)
        for name in set(wire.msg):
            del wire.msg[name]
        for name, text in reply.headers:
            wire.msg[name] = text
    if retries is not None and "retries" in value:
        history = tuple(RequestHistory(*each) for each in value["history"])
        response.retries = retries.new(history=history, **value["retries"])
    return response


def _no_socket(how: int) -> None: ...


def _shut_down(wire: Any) -> None:
    """Ends nothing, for nothing flows; what was read after it live is in the recorded body, or ended it."""
    if wire.isclosed():
        # https://github.com/urllib3/urllib3/blob/2.5.0/src/urllib3/response.py (HTTPResponse.shutdown)
        raise RuntimeError("Cannot shutdown as connection has already been released to the pool")


def _wire(body: Source, status: int, value: dict[str, Any], headers: Any, method: str) -> Any:
    return response_over(
        body, status=status, reason=value["reason"] or "", version=value["version"], headers=headers, method=method
    )


def give_live_parts(error: BaseException, pool: Any, depth: int = 0) -> None:
    """Gives the errors along a chain the pool that they were raised in, or a connection like the one that failed."""
    held = vars(error)
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        # What could not connect; 1.26 calls it the pool.
        held["conn" if "conn" in held else "pool"] = pool.ConnectionCls(pool.host, port=pool.port)
    elif held.get("pool") is not None:
        held["pool"] = pool  # None where the body was read ahead: urllib3 tells the response of its pool later
    # Not by `getattr`: `NewConnectionError.pool` is deprecated and warns.
    inner = [*error.args, held.get("reason"), error.__cause__, error.__context__]
    for each in inner if depth < 8 else ():
        if isinstance(each, BaseException):
            give_live_parts(each, pool, depth + 1)
