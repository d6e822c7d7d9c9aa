"""The fence: refuses every connection that a replay must not make, and names the library that tried.

It stands on CPython's audit events of `socket`, so nothing has to be wrapped and no library can hold an unwrapped
function. What connects in C (libpq, gRPC, librdkafka) raises no event; of event loops see `fence_loops`. Let through
are OpenTelemetry's exporters, the calls of live plugins, allowed hosts and paths; servers listen and accept as ever.
"""

from __future__ import annotations

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

from timetracer.engine import fence_loops, guard
from timetracer.engine.recorder import LIVE
from timetracer.engine.sessions import SESSIONS, SILENT_KEY, kept
from timetracer.errors import NetworkBlocked

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_WATCHED = _CONNECTING | _RESOLVING
_REACHING_OUT = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_VSOCK", -1))
_PASSED_OVER = frozenset(sys.stdlib_module_names | {"opentelemetry", "timetracer", "wrapt"}) - {"__main__"}
_ASKS_ITS_OWN_ADDRESS = "werkzeug.serving"  # `get_interface_ip` connects a UDP socket, which sends nothing
_SUPPRESSED = (context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")  # of exporters; of instrumentors


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
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
    """Refuses connections from now on, until the fence that is returned is lowered.

    Several may stand at once (replays in two threads), and a connection has to pass all of them.

    Args:
        everywhere: for the whole process; otherwise only for code whose current session is a replay.
        allowed_hosts: patterns of hosts, `host:port` or unix socket paths that may be reached all the same.
        why: said in the error.
    """
    global _fences
    _install()
    fence = Fence(everywhere=everywhere, hosts=tuple(allowed_hosts), why=why)
    with _lock:
        _fences = (*_fences, fence)
    return fence


def lower() -> None:
    """Takes every fence away."""
    for fence in _fences:
        fence.lower()


def is_raised() -> bool:
    """Tells whether any fence stands."""
    return bool(_fences)


guard.fenced = is_raised


def allow_path(path: str | os.PathLike[str]) -> None:
    """Lets unix sockets at `path` through: that of a stand-in peer in this process."""
    _paths.add(os.fspath(path))


# ------------------------------------------------------------------------------------------------ watching


@functools.cache
def _install() -> None:
    # An audit hook cannot be taken away: there is one, which returns at once while no fence stands.
    sys.addaudithook(_hook)
    fence_loops.install(_check_name, _check_place, _check_path)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _fences and event in _WATCHED:
        _check(event, args)


def _check(event: str, args: tuple[Any, ...]) -> None:
    if event in _RESOLVING:
        _check_name(args[0], args[1] if len(args) > 1 else None)
        return
    sock, address = args[0], args[1]
    if sock.family == getattr(socket, "AF_UNIX", None):
        _check_path(address)
    elif sock.family in _REACHING_OUT and address is not None:
        _check_place(address[0], address[1], sock if event == "socket.connect" else None)


def _check_name(name: Any, port: object) -> None:
    """Before a name is resolved."""
    host = _text(name)
    for fence in _fences:
        _remember(fence, host, port)
    if not _is_local_name(host) and not _is_asyncio_resolver():
        _check_place(host, port)


def _check_path(path: Any) -> None:
    """Before a unix socket is connected; multiprocessing's own (managers, forkserver, shared handles) are let be."""
    place = os.fsdecode(path)
    if place not in _paths and "/pymp-" not in place:
        _check_place(place, None)


def _check_place(host: Any, port: object, sock: Any = None) -> None:
    """Before a host or path is reached; `sock` is what would be connected."""
    host = _text(host)
    for fence in _fences:
        if not _concerns(fence) or fence.allows(host, port):
            continue
        if sock is not None:
            if _is_own_address_question(sock):
                return
            if sock.type == socket.SOCK_STREAM:
                sock.close()  # its owner closes it on an OSError only (`socket.create_connection`)
        _refuse(fence, host, port)


def _concerns(fence: Fence) -> bool:
    """Whether a fence holds for the running code."""
    here = context.get_current()
    if any(here.get(key) for key in _SUPPRESSED):
        return False
    silent: Any = here.get(SILENT_KEY)
    if silent is not None and LIVE in silent:
        return False
    return fence.everywhere or bool(getattr(SESSIONS.current(), "fenced", False))


def _text(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        return host.decode("ascii", "replace")
    return "" if host is None else str(host)


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
    raise kept(error)
