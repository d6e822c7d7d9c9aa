"""Where timetracer 1.x had the switches of requests; they are those of `timetracer.plugins`."""

from __future__ import annotations

from timetracer.plugins import disable_requests, enable_requests

__all__ = ["disable_requests", "enable_requests"]
