"""Litestar: the middleware, and `auto_setup`. Neither is needed under `opentelemetry-instrument`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.errors import MissingDependencyError
from timetracer.integrations import starting

try:
    from litestar import Litestar

    from timetracer.inbound import litestar as inbound
    from timetracer.inbound.asgi import Application
except ImportError as error:
    raise MissingDependencyError("timetracer.integrations.litestar", "litestar") from error

App = TypeVar("App", bound=Litestar)


class TimeTracerMiddleware(inbound.Middleware):
    """Records or replays each request that finds a route:

        app = Litestar([...], middleware=[TimeTracerMiddleware])

    Args:
        app: given by Litestar.
        config: None for the environment's.
        plugins: names of the plugins to record; None for all.
    """

    def __init__(
        self, app: Application, config: TraceConfig | None = None, plugins: Sequence[str] | None = None
    ) -> None:
        starting.start(config, plugins)
        super().__init__(app, door)


def auto_setup(app: App, config: TraceConfig | None = None, plugins: Sequence[str] | None = None) -> App:
    """Starts timetracer, puts the door around every Litestar application, and returns this one.

    Args:
        config: None for the environment's.
        plugins: names of the plugins to record; None for all.
    """
    starting.start(config, plugins)
    inbound.install(door)
    return app
