"""What OTel's launcher calls, whichever distro wins: before the instrumentors, and after them."""

from __future__ import annotations

import sys

from timetracer.config import TraceConfig
from timetracer.engine.guard import say_once
from timetracer.errors import TimetracerError
from timetracer.runtime import django_settings, process, script


def pre_instrument() -> None:
    """Starts timetracer beneath every instrumentor.

    Upstream: `opentelemetry.instrumentation.auto_instrumentation._load`.

    The launcher swallows what is raised here. Recording, the app goes on without; replaying, `timetracer.arming` finds
    that start-up did not come to its end, and ends the process before any app code.
    """
    django_settings.find()
    try:
        config = TraceConfig.from_env()
        if config.mode != "off":
            process.start(config)
    except TimetracerError as error:
        if not _replaying():
            say_once("start", "timetracer records nothing: %s", error)
            return
        raise


def post_instrument() -> None:
    """Looks over the patches once the instrumentors are in place."""
    _use_django_settings()
    if process.armed():
        process.settle()
        script.begin()


def _use_django_settings() -> None:
    """Takes the project's `TIMETRACER` settings, where OTel's Django instrumentor has read the settings already."""
    if "django.conf" not in sys.modules:
        return
    settings = sys.modules["django.conf"].settings
    if settings.configured and getattr(settings, "TIMETRACER", None):
        process.start(TraceConfig.from_env().with_settings(settings.TIMETRACER))


def _replaying() -> bool:
    arming = sys.modules.get("timetracer.arming")
    return arming is None or bool(arming.replaying())
