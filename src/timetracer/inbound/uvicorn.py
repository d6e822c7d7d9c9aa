"""Plain ASGI applications under uvicorn: the door around what the server was told to serve.

Upstream: `Config.load` leaves the application that every protocol calls in `loaded_app`, with uvicorn's own wrappers
around it (https://github.com/encode/uvicorn/blob/0.34.0/uvicorn/config.py).
"""

from __future__ import annotations

import functools
from typing import Any

from uvicorn.config import Config

from timetracer.inbound import asgi
from timetracer.inbound.plain import is_plain
from timetracer.plugin import Door

_INSTALLED = "_timetracer_real"


def install(door: Door) -> None:
    """Puts the door around every application that opens none by itself, once."""
    real = Config.load
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    def load(self: Any) -> None:
        real(self)
        if is_plain(self.loaded_app):
            self.loaded_app = asgi.Middleware(self.loaded_app, door)

    setattr(load, _INSTALLED, real)
    Config.load = load  # type: ignore[method-assign]
