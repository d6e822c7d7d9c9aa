"""Where timetracer 1.x had the switches of httpx; they are those of `timetracer.plugins`."""

from __future__ import annotations

from timetracer.plugins import disable_httpx, enable_httpx

__all__ = ["disable_httpx", "enable_httpx"]
