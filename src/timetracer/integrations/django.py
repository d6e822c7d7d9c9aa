"""Django: the middleware, for a project without `opentelemetry-instrument`, and its `TIMETRACER` settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings

from timetracer.config import IN_DJANGO, TraceConfig
from timetracer.engine.door import door
from timetracer.errors import ConfigError
from timetracer.inbound import django as inbound
from timetracer.runtime import process


class TimeTracerMiddleware(inbound.Middleware):
    """Records or replays each request. Put it first:

        MIDDLEWARE = ["timetracer.integrations.django.TimeTracerMiddleware", ...]
        TIMETRACER = {"MODE": "record"}

    Settings go over environment variables. Under `opentelemetry-instrument` it is not needed, and does no harm.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        use_settings()
        super().__init__(get_response, door)


def use_settings() -> None:
    """Starts timetracer with the project's `TIMETRACER` settings, unless it runs with them already.

    Raises:
        ConfigError: a setting does not exist or is not allowed.
    """
    try:
        config = TraceConfig.from_env().with_settings(getattr(settings, "TIMETRACER", {}), where=IN_DJANGO)
    except ConfigError as error:
        raise _for_manage_py(error) from None
    running = process.started()
    if config.mode != "off" and (running is None or running.config != config):
        process.start(config)


def _for_manage_py(error: ConfigError) -> ConfigError:
    """Returns the error as one that `manage.py` shows in one line; a server shows its traceback, and ends."""
    from django.core.management import CommandError  # only here: a server needs nothing of it

    class SettingsError(ConfigError, CommandError):  # type: ignore[misc]  # Django brings no types
        """A setting of the project is not allowed."""

    return SettingsError(error.name, error.value, error.allowed)


def auto_setup(app: Any = None, config: TraceConfig | None = None, plugins: list[str] | None = None) -> Any:
    """Puts timetracer around every Django handler made from here on, without a line in MIDDLEWARE.

    Args:
        app: returned as it is; Django keeps its handlers to itself.
        config: None for the project's settings and the environment.
        plugins: names of the plugins to record; None for all.
    """
    inbound.install(door)
    if config is None:
        use_settings()
    else:
        process.start(config if plugins is None else config.with_settings({"capture": plugins}))
    return app
