"""Where timetracer 1.x had the switches of aiohttp; they are those of `timetracer.plugins`."""

from __future__ import annotations

from timetracer.plugins import disable_aiohttp, enable_aiohttp

__all__ = ["disable_aiohttp", "enable_aiohttp"]
