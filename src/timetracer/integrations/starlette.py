"""Starlette: the middleware, and `auto_setup`. Neither is needed under `opentelemetry-instrument`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.errors import MissingDependencyError
from timetracer.integrations import starting

try:
    from starlette.applications import Starlette

    from timetracer.inbound import starlette as inbound
    from timetracer.inbound.asgi import Application
except ImportError as error:
    raise MissingDependencyError("timetracer.integrations.starlette", "starlette") from error

App = TypeVar("App", bound=Starlette)


class TimeTracerMiddleware(inbound.Middleware):
    """Records or replays each request:

        app.add_middleware(TimeTracerMiddleware)

    Args:
        app: given by Starlette.
        config: None for the environment's.
        plugins: names of the plugins to record; None for all.
    """

    def __init__(
        self, app: Application, config: TraceConfig | None = None, plugins: Sequence[str] | None = None
    ) -> None:
        starting.start(config, plugins)
        super().__init__(app, door)


def auto_setup(app: App, config: TraceConfig | None = None, plugins: Sequence[str] | None = None) -> App:
    """Starts timetracer, puts the door around every Starlette application, and returns this one.

    Args:
        config: None for the environment's.
        plugins: names of the plugins to record; None for all.
    """
    starting.start(config, plugins)
    inbound.install(door)
    return app
