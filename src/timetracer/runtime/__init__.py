"""The composition root: settings, engine, plugins and telemetry become a process that records or replays."""

from __future__ import annotations

from timetracer.runtime.hooks import post_instrument, pre_instrument
from timetracer.runtime.process import armed, flush, start, started, stop
from timetracer.runtime.scopes import record, replay

__all__ = ["armed", "flush", "post_instrument", "pre_instrument", "record", "replay", "start", "started", "stop"]
