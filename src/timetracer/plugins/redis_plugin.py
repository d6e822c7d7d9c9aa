"""Where timetracer 1.x had the switches of redis; they are those of `timetracer.plugins`."""

from __future__ import annotations

from timetracer.plugins import disable_redis, enable_redis

__all__ = ["disable_redis", "enable_redis"]
