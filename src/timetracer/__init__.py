"""timetracer: records what a service really did, with all its dependencies, and replays it offline.

PYTEST_DONT_REWRITE: under TIMETRACER_MODE this is imported before pytest, which would warn that it cannot rewrite it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timetracer.config import TraceConfig
    from timetracer.errors import (
        CassetteError,
        ConfigError,
        Exhausted,
        NoMatch,
        ReplayError,
        TimetracerError,
        UnsupportedError,
    )
    from timetracer.runtime import record, replay, start, stop

__version__ = "2.0.0"

__all__ = [
    "CassetteError",
    "ConfigError",
    "Exhausted",
    "NoMatch",
    "ReplayError",
    "TimetracerError",
    "TraceConfig",
    "UnsupportedError",
    "__version__",
    "record",
    "replay",
    "start",
    "stop",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: a process that does nothing with timetracer loads none of it."""
    from importlib import import_module

    if name in __all__:
        where = (
            "config"
            if name == "TraceConfig"
            else "runtime"
            if name in ("record", "replay", "start", "stop")
            else "errors"
        )
        return getattr(import_module(f"timetracer.{where}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
