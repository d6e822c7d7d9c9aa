"""What OTel's launcher calls, whichever distro wins: before the instrumentors, and after them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any

from timetracer import arming
from timetracer.config import IN_DJANGO, TraceConfig
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
    with _Said():
        config = TraceConfig.from_env()
        if config.mode != "off":
            process.start(config)


class _Said:
    """Says what cannot be used, where a recording goes on without it; a replay must not go on."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, TimetracerError) or arming.replaying():
            return False
        process.stop()
        say_once("start", "timetracer records nothing: %s", error)
        return True


def post_instrument() -> None:
    """Looks over the patches once the instrumentors are in place."""
    with _Said():
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
        with nullcontext() if arming.armed() else arming.last_word(_mode_in(settings.TIMETRACER)):
            process.start(TraceConfig.from_env().with_settings(settings.TIMETRACER, where=IN_DJANGO))


def _mode_in(settings: Mapping[str, Any]) -> str:
    """Returns what a replay that cannot start is told by, where no variable told it: the launcher would go on live."""
    told = {name.lower().removeprefix("timetracer_"): value for name, value in settings.items()}
    mode = str(told.get("mode") or "off").strip().lower()
    return "record" if mode == "off" else mode
