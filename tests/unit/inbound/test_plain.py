"""Which applications a server has to open the door for."""

from __future__ import annotations

from typing import Any

import flask
import litestar
import starlette.applications
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from timetracer.inbound import asgi
from timetracer.inbound.plain import is_plain


async def _application(scope: Any, receive: Any, send: Any) -> None: ...


class _Shop(flask.Flask):
    """A subclass in the app's own module."""


def test_functions_and_objects_without_a_framework_are_plain() -> None:
    """Also where uvicorn has wrapped them already."""
    assert is_plain(_application)
    assert is_plain(ProxyHeadersMiddleware(_application))


def test_frameworks_and_our_middleware_open_it_themselves() -> None:
    """Also subclasses, and also where uvicorn has wrapped them already."""
    frameworks = (_Shop("shop"), litestar.Litestar(), starlette.applications.Starlette())
    for app in (*frameworks, asgi.Middleware(_application, object())):  # type: ignore[arg-type]
        assert not is_plain(app)
        assert not is_plain(ProxyHeadersMiddleware(app))  # type: ignore[arg-type]
