"""Asks the fence on behalf of event loops, where CPython's audit events come too late or not at all.

asyncio resolves names in a pool's thread, which has no context; uvloop resolves and connects in C, unaudited.
"""

from __future__ import annotations

import functools
import importlib
from asyncio import base_events
from collections.abc import Callable
from typing import Any

Ask = Callable[[Any, Any], None]
"""Takes a host (or a path, without a port) and a port; raises where it may not be reached."""


def install(resolve: Ask, reach: Ask, reach_path: Callable[[Any], None]) -> None:
    """Has the loops ask before they resolve a name, connect to an address or to a path.

    uvloop is imported for it where it is installed: servers (uvicorn) take it by themselves as soon as it is there.
    """
    _before(base_events.BaseEventLoop, "getaddrinfo", lambda host, port, *args, **kwargs: resolve(host, port))
    try:
        loop = importlib.import_module("uvloop").Loop
    except ImportError:
        return

    def connecting(factory: Any, host: Any = None, port: Any = None, *args: Any, **kwargs: Any) -> None:
        if host is not None:
            reach(host, port)

    def connecting_unix(factory: Any, path: Any = None, *args: Any, **kwargs: Any) -> None:
        if path is not None:
            reach_path(path)

    def sending(factory: Any, local_addr: Any = None, remote_addr: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(remote_addr, tuple):
            reach(*remote_addr[:2])
        elif remote_addr is not None:
            reach_path(remote_addr)

    _before(loop, "getaddrinfo", lambda host, port, *args, **kwargs: resolve(host, port))
    _before(loop, "create_connection", connecting)
    _before(loop, "create_unix_connection", connecting_unix)
    _before(loop, "create_datagram_endpoint", sending)


def _before(owner: Any, name: str, ask: Callable[..., None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        ask(*args, **kwargs)
        return await real(self, *args, **kwargs)

    setattr(owner, name, method)
