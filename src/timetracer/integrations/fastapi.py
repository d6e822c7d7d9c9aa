"""FastAPI: the middleware, and `auto_setup`; FastAPI is Starlette here.

app = auto_setup(FastAPI())                 # or: app.add_middleware(TimeTracerMiddleware)
"""

from __future__ import annotations

from timetracer.errors import MissingDependencyError

try:
    from timetracer.integrations.starlette import TimeTracerMiddleware, auto_setup
except MissingDependencyError as error:
    raise MissingDependencyError("timetracer.integrations.fastapi", "fastapi") from error

__all__ = ["TimeTracerMiddleware", "auto_setup"]
