"""What OTel's launcher calls, whichever distro wins: before the instrumentors, and after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from timetracer.config import IN_DJANGO, TraceConfig, environment
from timetracer.engine.guard import say_once
from timetracer.environment_variables import TIMETRACER_MODE
from timetracer.errors import CassetteError, TimetracerError
from timetracer.runtime import django_settings, process, script

USAGE, BAD_CASSETTE = 2, 3
"""Exit codes, those of the command line."""


def pre_instrument() -> None:
    """Starts timetracer beneath every instrumentor.

    Upstream: `opentelemetry.instrumentation.auto_instrumentation._load`.

    The launcher swallows what is raised here. Recording, the app goes on without; replaying, `timetracer.arming` finds
    that start-up did not come to its end, and ends the process before any app code.
    """
    django_settings.find()
    with _LastWord():
        config = TraceConfig.from_env()
        if config.mode != "off":
            process.start(config)


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
        with _LastWord(settings.TIMETRACER):
            process.start(TraceConfig.from_env().with_settings(settings.TIMETRACER, where=IN_DJANGO))


class _LastWord:
    """Says what cannot be used. A recording is given up, and the app goes on; a replay ends before any app code.

    Args:
        settings: Django's, which may be all that says what to do.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = settings or {}

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, TimetracerError):
            return False
        arming = sys.modules.get("timetracer.arming")
        if arming is not None and arming.replaying():
            return False  # which ends the process with the reason
        if arming is None and self._mode() not in ("off", "record"):
            os.write(2, f"timetracer: start-up failed before any app code ran: {error}\n".encode(errors="replace"))
            os._exit(BAD_CASSETTE if isinstance(error, CassetteError) else USAGE)
        process.stop()
        say_once("start", "nothing is recorded: %s", error)
        return True

    def _mode(self) -> str:
        """Returns the mode that is asked for, be it one or not."""
        told = {name.lower().removeprefix("timetracer_"): value for name, value in self.settings.items()}
        return str(told.get("mode") or environment().get(TIMETRACER_MODE) or "off").strip().lower()
