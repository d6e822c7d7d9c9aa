"""Starlette and FastAPI requests: around the whole application, its error handling and its SERVER span included.

Upstream: `Starlette.__call__` is what servers, test clients and mounts call, FastAPI's by `super()`
(https://github.com/encode/starlette/blob/1.0.0/starlette/applications.py). The router leaves the route that it chose in
the scope; FastAPI leaves the context of an included router beside it (`fastapi/routing.py`, 0.137 and later).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette

from timetracer.inbound import asgi
from timetracer.plugin import Door

_INSTALLED = "_timetracer_real"


class Middleware(asgi.Middleware):
    """For `app.add_middleware`. Starlette answers what nobody handled further out: see `install`."""

    def __init__(self, app: asgi.Application, door: Door) -> None:
        super().__init__(app, door, functools.partial(template, None))


def install(door: Door) -> None:
    """Puts the door around every Starlette application, once."""
    real = Starlette.__call__
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    async def __call__(self: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        await asgi.serve(functools.partial(real, self), door, functools.partial(template, self), scope, receive, send)

    setattr(__call__, _INSTALLED, real)
    Starlette.__call__ = __call__  # type: ignore[method-assign]


def template(app: Any, scope: asgi.Scope, root_path: str) -> str | None:
    """Returns the template of the route that was chosen, mounts included; None where none was.

    Args:
        app: the outermost application, to look up what is mounted where; None if it is not known.
        root_path: of the scope, before routing.
    """
    route, endpoint = scope.get("route"), scope.get("endpoint")
    here: str = scope.get("root_path", "")
    mounted = here[len(root_path) :] if here.startswith(root_path) else ""
    if endpoint is not None and (mounted or route is None):  # before 0.47 the router leaves the endpoint alone
        found = _find(app.routes if app is not None else (), route, endpoint)
        mounted, route = (mounted, route) if found is None else found
    included = scope.get("fastapi", {}).get("effective_route_context")
    known = included if getattr(included, "original_route", None) is route else route
    path = getattr(known, "path_format", None)
    return None if path is None else f"{mounted}{path}"


def _find(routes: Iterable[Any], route: Any, endpoint: Any) -> tuple[str, Any] | None:
    """Returns the path of what a route is mounted in, and the route."""
    for each in routes:
        if each is route or (route is None and getattr(each, "endpoint", None) is endpoint):
            return "", each
        router = getattr(each, "original_router", each)  # FastAPI's included routers
        found = _find(getattr(router, "routes", None) or (), route, endpoint)
        if found is not None:
            return getattr(each, "path", "") + found[0], found[1]
    return None
