"""Finds the application that `module:attr` names, and who can ask it: WSGI or ASGI."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Protocol

import timetracer.inbound.asgi as asgi_requests
import timetracer.inbound.wsgi as wsgi_requests
from timetracer.engine.door import door
from timetracer.errors import ConfigError
from timetracer.inbound.plain import is_plain
from timetracer.runner import asgi, wsgi
from timetracer.runner.questions import Answer, Question


class Driver(Protocol):
    """Asks one application."""

    def open(self) -> None:
        """Starts it."""

    def ask(self, question: Question) -> Answer:
        """Returns what it answers."""

    def close(self) -> None:
        """Ends it."""


def driver_of(name: str) -> Driver:
    """Imports an application.

    Args:
        name: `module:attr`, as gunicorn and uvicorn take it; `module:make()` calls a factory.

    Raises:
        ConfigError: there is no such module or attribute, or it is no application.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError("--app", name, "module:attr, such as shop.wsgi:application")
    app: Any
    try:
        app = importlib.import_module(module)
        for part in attribute.removesuffix("()").split("."):
            app = getattr(app, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError("--app", name, f"an application that can be imported ({error})") from error
    if attribute.endswith("()"):
        app = app()
    if not callable(app):
        raise ConfigError("--app", name, f"a WSGI or ASGI application; it is of type {type(app).__name__}")
    if _is_asgi(app):
        return asgi.Driver(asgi_requests.Middleware(app, door) if is_plain(app) else app, name)
    return wsgi.Driver(wsgi_requests.Middleware(app, door) if is_plain(app) else app)


def _is_asgi(app: Any) -> bool:
    """Whether an application is ASGI 3, as uvicorn finds out (uvicorn/config.py, `load`)."""
    if inspect.isclass(app):
        return hasattr(app, "__await__")
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004
