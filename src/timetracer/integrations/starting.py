"""Starts timetracer for an application that brings its middleware and does not run under `opentelemetry-instrument`."""

from __future__ import annotations

from collections.abc import Sequence

from timetracer.config import TraceConfig
from timetracer.runtime import process


def start(config: TraceConfig | None = None, plugins: Sequence[str] | None = None) -> None:
    """Starts timetracer, unless it runs with this configuration already.

    Args:
        config: None for what runs already, else for the environment's.
        plugins: names of the plugins to record; None for what the configuration says.

    Raises:
        ConfigError: a setting is not allowed.
        CassetteError: in replay, a cassette cannot be read.
    """
    running = process.started()
    if config is None and plugins is None and running is not None:
        return
    config = TraceConfig.from_env() if config is None else config
    if plugins is not None:
        config = config.with_settings({"capture": list(plugins)})
    if config.mode != "off" and (running is None or running.config != config):
        process.start(config)
