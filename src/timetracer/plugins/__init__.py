"""Plugins switched on and off by hand: `enable_X()`, `disable_X()`, and `enable_plugin(name)` for any registered one.

Under `opentelemetry-instrument`, in `timetracer.record()` and in tests nothing of this is needed: every plugin whose
library is there is installed by itself. A plugin that is enabled does nothing either until something records or
replays.
"""

from __future__ import annotations

from timetracer.engine import wrapping
from timetracer.errors import ConfigError, MissingDependencyError
from timetracer.runtime import libraries

__all__ = [
    "disable_aiohttp",
    "disable_http_client",
    "disable_httpx",
    "disable_httpx2",
    "disable_plugin",
    "disable_psycopg",
    "disable_redis",
    "disable_requests",
    "disable_sqlite3",
    "disable_urllib3",
    "enable_aiohttp",
    "enable_http_client",
    "enable_httpx",
    "enable_httpx2",
    "enable_plugin",
    "enable_psycopg",
    "enable_redis",
    "enable_requests",
    "enable_sqlite3",
    "enable_urllib3",
]


def enable_plugin(name: str) -> None:
    """Puts a plugin's wrappers in place, or makes them act again.

    Args:
        name: as registered under the entry point group `timetracer_plugin`; ours and those of third parties.

    Raises:
        ConfigError: there is no such plugin; the message says which there are.
        MissingDependencyError: the plugin's library is not installed.
    """
    try:
        plugin = libraries.load(name)
    except ModuleNotFoundError as error:
        dist = libraries.discovered()[name].dist
        if dist is None or dist.name != "timetracer":
            raise
        raise MissingDependencyError(f"the plugin {name}", name.replace("_", "-")) from error
    libraries.put_in_place(plugin).enabled = True


def disable_plugin(name: str) -> None:
    """Makes a plugin's wrappers inert: its calls are neither recorded nor answered. Other plugins go on.

    Raises:
        ConfigError: there is no such plugin.
    """
    known = {*libraries.discovered(), *wrapping.installed()}
    if name not in known:
        raise ConfigError("plugin", name, f"one of {', '.join(sorted(known))}")
    wrapping.disable(name)


def enable_aiohttp() -> None:
    """Enables the plugin of aiohttp's client."""
    enable_plugin("aiohttp")


def disable_aiohttp() -> None:
    """Disables the plugin of aiohttp's client."""
    disable_plugin("aiohttp")


def enable_http_client() -> None:
    """Enables the plugin of `http.client`, and so of `urllib.request`."""
    enable_plugin("http_client")


def disable_http_client() -> None:
    """Disables the plugin of `http.client`."""
    disable_plugin("http_client")


def enable_httpx() -> None:
    """Enables the plugin of httpx, sync and async."""
    enable_plugin("httpx")


def disable_httpx() -> None:
    """Disables the plugin of httpx."""
    disable_plugin("httpx")


def enable_httpx2() -> None:
    """Enables the plugin of httpx2, which the SDKs of OpenAI and Anthropic use."""
    enable_plugin("httpx2")


def disable_httpx2() -> None:
    """Disables the plugin of httpx2."""
    disable_plugin("httpx2")


def enable_psycopg() -> None:
    """Enables the plugin of psycopg 3."""
    enable_plugin("psycopg")


def disable_psycopg() -> None:
    """Disables the plugin of psycopg 3."""
    disable_plugin("psycopg")


def enable_redis() -> None:
    """Enables the plugin of redis-py, sync and asyncio."""
    enable_plugin("redis")


def disable_redis() -> None:
    """Disables the plugin of redis-py."""
    disable_plugin("redis")


def enable_requests() -> None:
    """Enables the plugin of requests."""
    enable_plugin("requests")


def disable_requests() -> None:
    """Disables the plugin of requests."""
    disable_plugin("requests")


def enable_sqlite3() -> None:
    """Enables the plugin of sqlite3."""
    enable_plugin("sqlite3")


def disable_sqlite3() -> None:
    """Disables the plugin of sqlite3."""
    disable_plugin("sqlite3")


def enable_urllib3() -> None:
    """Enables the plugin of urllib3."""
    enable_plugin("urllib3")


def disable_urllib3() -> None:
    """Disables the plugin of urllib3."""
    disable_plugin("urllib3")
