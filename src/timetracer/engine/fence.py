"""The fence: refuses every connection that a replay must not make, and names the library that tried.

It stands on CPython's audit events of `socket`, so nothing has to be wrapped and no library can hold an unwrapped
function. What connects in C (libpq, gRPC) raises no event. Let through are OpenTelemetry's exporters, the calls of live
plugins, allowed hosts and paths; servers listen and accept as ever.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import FrameType, TracebackType
from typing import Any

from opentelemetry import context

from timetracer.engine.recorder import LIVE
from timetracer.engine.sessions import SESSIONS, SILENT_KEY
from timetracer.errors import NetworkBlocked

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_WATCHED = _CONNECTING | _RESOLVING
_REACHING_OUT = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_VSOCK", -1))
_PASSED_OVER = frozenset(sys.stdlib_module_names | {"opentelemetry", "timetracer", "wrapt"}) - {"__main__"}
_ASKS_ITS_OWN_ADDRESS = "werkzeug.serving"  # `get_interface_ip` connects a UDP socket, which sends nothing
_SUPPRESSED = (context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")  # of exporters; of instrumentors


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """One fence that stands. As a context manager it is lowered at the end of the block.

    Attributes:
        everywhere: it holds for the whole process, not only for code whose current session is a replay.
        hosts: patterns of hosts (`db.local`, `*.local`, `127.0.0.1:8000`) and unix socket paths that may be reached.
        why: says in the error why nothing may be reached.
    """

    everywhere: bool
    hosts: tuple[str, ...]
    why: str

    def lower(self) -> None:
        """Takes this fence away; a second time nothing happens."""
        global _fences
        with _lock:
            _fences = tuple(fence for fence in _fences if fence is not self)
            _resolved.pop(self, None)

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lower()

    def allows(self, host: str, port: object) -> bool:
        """Tells whether a host, address or path is among those allowed."""
        names = (host, f"{host}:{port}", f"[{host}]:{port}")
        named = any(fnmatchcase(name, pattern) for pattern in self.hosts for name in names)
        return named or host in _resolved.get(self, ())


_lock = threading.Lock()
_fences: tuple[Fence, ...] = ()
_paths: set[str] = set()
_resolved: dict[Fence, set[str]] = {}  # addresses that an allowed name stands for
_asking = threading.local()


def raise_fence(
    *, everywhere: bool, allowed_hosts: Iterable[str] = (), why: str = "a replay connects to nothing"
) -> Fence:
    """Refuses connections from now on, until the fence that is returned is lowered. Several may stand at once.

    One that is equal to a fence that stands is that fence: raise one for each replay, and it costs nothing more.

    Args:
        everywhere: for the whole process; otherwise only for code whose current session is a replay.
        allowed_hosts: patterns of hosts, `host:port` or unix socket paths that may be reached all the same.
        why: said in the error.
    """
    global _fences
    _install()
    fence = Fence(everywhere=everywhere, hosts=tuple(allowed_hosts), why=why)
    with _lock:
        standing = next((each for each in _fences if each == fence), None)
        if standing is not None:
            return standing
        _fences = (*_fences, fence)
    return fence


def lower() -> None:
    """Takes every fence away."""
    for fence in _fences:
        fence.lower()


def is_raised() -> bool:
    """Tells whether any fence stands."""
    return bool(_fences)


def allow_path(path: str | os.PathLike[str]) -> None:
    """Lets unix sockets at `path` through: that of a stand-in peer in this process."""
    _paths.add(os.fspath(path))


# ------------------------------------------------------------------------------------------------ watching


@functools.cache
def _install() -> None:
    # An audit hook cannot be taken away: there is one, which returns at once while no fence stands.
    sys.addaudithook(_hook)
    asyncio.base_events.BaseEventLoop.getaddrinfo = _resolving_here(asyncio.base_events.BaseEventLoop.getaddrinfo)  # type: ignore[method-assign]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _fences and event in _WATCHED:
        _check(event, args)


def _resolving_here(real: Any) -> Any:
    """Asks in the caller's context: asyncio resolves names in a thread, which has none."""

    @functools.wraps(real)
    async def getaddrinfo(self: Any, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if _fences:
            _check("socket.getaddrinfo", (host, port))
        return await real(self, host, port, *args, **kwargs)

    return getaddrinfo


def _check(event: str, args: tuple[Any, ...]) -> None:
    if event in _RESOLVING:
        host, port = _text(args[0]), args[1] if len(args) > 1 else None
        for fence in _fences:
            _remember(fence, host, port)
        if _is_local_name(host) or _is_asyncio_resolver():
            return
    else:
        place = _place(args[0], args[1])
        if place is None:
            return
        host, port = place
    for fence in _fences:
        if not _concerns(fence) or fence.allows(host, port):
            continue
        if event == "socket.connect":
            if _is_own_address_question(args[0]):
                return
            if args[0].type == socket.SOCK_STREAM and args[0].family in _REACHING_OUT:
                args[0].close()  # its owner closes it on an OSError only (`socket.create_connection`)
        _refuse(fence, host, port)


def _place(sock: Any, address: Any) -> tuple[str, object] | None:
    """Returns host and port, or path, of an address to reach; None where nothing outside would be."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        path = os.fsdecode(address)
        inside = path in _paths or "/pymp-" in path  # multiprocessing's own: managers, forkserver, shared handles
        return None if inside else (path, None)
    if sock.family not in _REACHING_OUT or address is None:
        return None
    return str(address[0]), address[1]


def _concerns(fence: Fence) -> bool:
    """Whether a fence holds for the running code."""
    here = context.get_current()
    if any(here.get(key) for key in _SUPPRESSED):
        return False
    silent: Any = here.get(SILENT_KEY)
    if silent is not None and LIVE in silent:
        return False
    return fence.everywhere or getattr(SESSIONS.current(), "fenced", False)


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host or "")


def _is_local_name(host: str) -> bool:
    """Whether a name needs no asking: servers resolve what they listen on."""
    if host in ("", "localhost", "ip6-localhost", os.uname().nodename) or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_asyncio_resolver() -> bool:
    """Whether a pool's thread resolves for asyncio: it was asked already, in the context of who wants to know."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not _is_passed_over(frame):
            return False
        if frame.f_code.co_name == "_worker" and frame.f_globals.get("__name__") == "concurrent.futures.thread":
            return True
        frame = frame.f_back
    return False


def _is_own_address_question(sock: Any) -> bool:
    return sock.type == socket.SOCK_DGRAM and _tried()[0] == _ASKS_ITS_OWN_ADDRESS.partition(".")[0]


def _remember(fence: Fence, host: str, port: Any) -> None:
    """Keeps the addresses of an allowed name: the connection that follows names only those."""
    if not fence.hosts or getattr(_asking, "now", False) or not fence.allows(host, port):
        return
    _asking.now = True
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return
    finally:
        _asking.now = False
    _resolved.setdefault(fence, set()).update(str(entry[4][0]) for entry in found)


# ------------------------------------------------------------------------------------------------ refusing


def _is_passed_over(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PASSED_OVER


def _tried() -> tuple[str, str]:
    """Returns the library that is about to connect, and the line it does so from."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if not _is_passed_over(frame):
            module = str(frame.f_globals.get("__name__", ""))
            return module.partition(".")[0], f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "", ""


def _refuse(fence: Fence, host: str, port: object) -> None:
    library, line = _tried()
    who = {"__main__": "the program itself", "": "a thread of the standard library"}.get(library, library)
    place = host if port is None else f"{host}:{port}"
    error = NetworkBlocked(
        f"{who} tried to reach {place}, and {fence.why}.\n"
        + (f"  tried at: {line}\n" if line else "")
        + "  what to do: if a plugin of timetracer covers the library, enable it and record again, so that the cassette"
        " answers; to let a plugin's calls go live, name it in TIMETRACER_LIVE_PLUGINS; in pytest, a host can be"
        " allowed with --timetracer-allowed-hosts",
        call=f"{who} -> {place}",
        library=library,
        address=place,
    )
    session: Any = SESSIONS.current()
    raise session.missed(error) if getattr(session, "fenced", False) else error
