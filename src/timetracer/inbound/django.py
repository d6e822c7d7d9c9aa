"""Django requests: around the whole middleware chain, sync and async, so that all that Django does is inside.

Upstream: `BaseHandler.load_middleware` builds `_middleware_chain`, which every handler (WSGI, ASGI, test client) calls
(https://github.com/django/django/blob/5.2/django/core/handlers/base.py); a request reads its body from `_stream`
(https://github.com/django/django/blob/5.2/django/http/request.py).
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import got_request_exception

from timetracer.inbound.incoming import IncomingFile
from timetracer.inbound.streams import OutgoingAsyncIterable, OutgoingIterable
from timetracer.plugin import Door, Inbound, Sink, Visit

_VISIT = "_timetracer_visit"
_INSTALLED = "_timetracer_real"


class Middleware:
    """A Django middleware, sync and async, that opens the door around the rest of the chain."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any], door: Door) -> None:
        self.get_response, self.door = get_response, door
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_note_exception, dispatch_uid="timetracer")

    def __call__(self, request: Any) -> Any:
        if self.is_async:
            return self._serve_async(request)
        with self.door(describe, request) as visit:
            _begin(visit, request)
            response = self.get_response(request)
            visit.note(_answer, visit, request, response)
        return response

    async def _serve_async(self, request: Any) -> Any:
        with self.door(describe, request) as visit:
            _begin(visit, request)
            response = await self.get_response(request)
            visit.note(_answer, visit, request, response)
        return response


def describe(request: Any) -> Inbound:
    """Describes a request; its body is read by whoever reads it, not here."""
    return Inbound(
        type="http.server",
        method=request.method or "GET",
        target=request.get_full_path(),
        headers=[(str(name), str(value)) for name, value in request.headers.items()],
        fields={"scheme": request.scheme},
    )


def _begin(visit: Visit, request: Any) -> None:
    """Keeps the visit with its request. Who is trusted needs no CSRF token, as with Django's own test client."""
    setattr(request, _VISIT, visit)
    if visit.trusted:
        request._dont_enforce_csrf_checks = True
    sink, source = visit.request_body(), getattr(request, "_stream", None)
    if hasattr(request, "_body"):  # a middleware further out has read it
        sink.feed(request._body)
        sink.finish()
    elif source is not None:
        incoming = visit.note(_copying, request, source, sink)
        if incoming is not None:
            request._stream = incoming.read_ahead() if visit.reads_ahead else incoming


def _copying(request: Any, source: Any, sink: Sink) -> IncomingFile:
    return IncomingFile(source, sink, _length(request, source))


def _length(request: Any, source: Any) -> int | None:
    """Returns how long the request's body is; None if only its end will tell."""
    given = request.META.get("CONTENT_LENGTH") or ""
    if given.isdecimal():
        return int(given)
    if isinstance(request, WSGIRequest):
        return 0  # so does Django take it
    if not getattr(source, "seekable", bool)():
        return None
    length: int = source.seek(0, os.SEEK_END)
    source.seek(0)
    return length


def _answer(visit: Visit, request: Any, response: Any) -> None:
    match = getattr(request, "resolver_match", None)
    if match is not None:
        visit.route("/" + match.route.lstrip("^/").rstrip("$"))
    headers = [(str(name), str(value)) for name, value in response.items()]
    headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
    visit.answer({"reason": response.reason_phrase}, status=response.status_code, headers=headers)
    if not getattr(response, "streaming", False):
        sink = visit.body()
        sink.feed(response.content)
        sink.finish()
    elif getattr(response, "is_async", False):
        response.streaming_content = OutgoingAsyncIterable(response.streaming_content, visit)
    else:
        response.streaming_content = OutgoingIterable(response.streaming_content, visit)


def _note_exception(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """Notes what a view raised, before Django turns it into an answer."""
    visit: Visit | None = getattr(request, _VISIT, None)
    error = sys.exc_info()[1]
    if visit is not None and error is not None:
        visit.note(visit.error, error)


def install(door: Door) -> None:
    """Puts the door around the middleware chain of every handler made from here on, once."""
    real = BaseHandler.load_middleware
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    def load_middleware(self: Any, is_async: bool = False) -> None:
        real(self, is_async)
        self._middleware_chain = Middleware(self._middleware_chain, door)

    setattr(load_middleware, _INSTALLED, real)
    BaseHandler.load_middleware = load_middleware
