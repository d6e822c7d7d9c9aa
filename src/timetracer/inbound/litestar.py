"""Litestar requests: around the whole application, its error handling included.

Upstream: `Litestar.__call__` is what servers and test clients call; the router leaves `path_template` in the scope, and
the hooks of `after_exception` see each exception before it is turned into an answer
(https://github.com/litestar-org/litestar/blob/v2.18.0/litestar/app.py).
"""

from __future__ import annotations

import functools
from typing import Any

from litestar import Litestar

from timetracer.inbound import asgi
from timetracer.plugin import Door

_INSTALLED = "_timetracer_real"


class Middleware(asgi.Middleware):
    """For the `middleware` list. Litestar answers 404 further out, so that is where `install` is needed."""

    def __init__(self, app: asgi.Application, door: Door) -> None:
        super().__init__(app, door, template)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        _watch_exceptions(scope["app"])
        await super().__call__(scope, receive, send)


def install(door: Door) -> None:
    """Puts the door around every Litestar application, once."""
    real = Litestar.__call__
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    async def __call__(self: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        _watch_exceptions(self)
        await asgi.serve(functools.partial(real, self), door, template, scope, receive, send)

    setattr(__call__, _INSTALLED, real)
    Litestar.__call__ = __call__  # type: ignore[method-assign, assignment]


def template(scope: asgi.Scope, root_path: str) -> str | None:
    """Returns the template of the route that was chosen; None where none was."""
    return scope.get("path_template") or None


def _watch_exceptions(app: Any) -> None:
    if _note_exception not in app.after_exception:
        app.after_exception.append(_note_exception)


async def _note_exception(error: Exception, scope: asgi.Scope) -> None:
    """Notes what a handler raised, before Litestar turns it into an answer."""
    scope[asgi.RAISED] = error
