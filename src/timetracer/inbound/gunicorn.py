"""Plain WSGI applications under gunicorn: the door around what a worker was told to serve.

Upstream: `Worker.load_wsgi` leaves the application in `wsgi`, which the workers of these modules call; others speak
ASGI (https://github.com/benoitc/gunicorn/blob/23.0.0/gunicorn/workers/base.py).
"""

from __future__ import annotations

import functools
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from timetracer.inbound import wsgi
from timetracer.inbound.plain import is_plain
from timetracer.plugin import Door

_INSTALLED = "_timetracer_real"
_WORKERS = {"gunicorn.workers.base_async", "gunicorn.workers.gthread", "gunicorn.workers.sync"}


def install(door: Door) -> None:
    """Puts the door around every application that opens none by itself, once."""
    real = Worker.load_wsgi
    if hasattr(real, _INSTALLED):
        return

    @functools.wraps(real)
    def load_wsgi(self: Any) -> None:
        real(self)
        speaks_wsgi = any(each.__module__ in _WORKERS for each in type(self).__mro__)
        if speaks_wsgi and is_plain(self.wsgi):
            self.wsgi = wsgi.Middleware(self.wsgi, door)

    setattr(load_wsgi, _INSTALLED, real)
    Worker.load_wsgi = load_wsgi
