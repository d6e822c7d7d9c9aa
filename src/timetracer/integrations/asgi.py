"""Any ASGI application: the middleware, and `auto_setup`."""

from __future__ import annotations

from collections.abc import Sequence

from timetracer.config import TraceConfig
from timetracer.engine.door import door
from timetracer.inbound import asgi as inbound
from timetracer.integrations import starting


class TimeTracerMiddleware(inbound.Middleware):
    """Records or replays each request of the application that it wraps:

        application = TimeTracerMiddleware(application)

    Args:
        app: the ASGI application.
        config: None for the environment's.
        plugins: names of the plugins to record; None for all.
    """

    def __init__(
        self, app: inbound.Application, config: TraceConfig | None = None, plugins: Sequence[str] | None = None
    ) -> None:
        starting.start(config, plugins)
        super().__init__(app, door)


def auto_setup(
    app: inbound.Application, config: TraceConfig | None = None, plugins: Sequence[str] | None = None
) -> TimeTracerMiddleware:
    """Starts timetracer and returns the application with the middleware around it."""
    return TimeTracerMiddleware(app, config, plugins)
