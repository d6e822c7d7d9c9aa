"""Tells a plain ASGI or WSGI application from one that opens the door by itself."""

from __future__ import annotations

from typing import Any

_OPENING = {"django", "fastapi", "flask", "litestar", "starlette", "timetracer"}


def is_plain(app: Any) -> bool:
    """Whether nothing opens the door for the requests of an application, as far as its class tells.

    A framework may be hidden in somebody's middleware: its door then joins the outer one.
    """
    while type(app).__module__.startswith("uvicorn."):
        app = app.app  # what uvicorn itself puts around it
    return not any(each.__module__.partition(".")[0] in _OPENING for each in type(app).__mro__)
