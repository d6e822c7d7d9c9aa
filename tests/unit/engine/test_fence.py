"""The fence: what it refuses, what it lets through, whom it names, and what it costs while it is down."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation

from timetracer.engine import fence
from timetracer.engine.playing import Choice, Playing, Rules
from timetracer.engine.recorder import LIVE
from timetracer.engine.sessions import current, silenced
from timetracer.errors import NetworkBlocked


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def lowered() -> Iterator[None]:
    """No test leaves a fence behind."""
    yield
    fence.lower()


def connect(port: int, host: str = "127.0.0.1") -> None:
    socket.create_connection((host, port), timeout=5).close()


def playing() -> Playing:
    return Playing(Rules(mocks=lambda plugin: True, spans={}), Choice([], "nowhere"))


def test_a_connection_is_refused_and_names_who_tried(port: int) -> None:
    """The error has the address, the library and line that tried, and what to do."""
    with fence.raise_fence(everywhere=True), pytest.raises(NetworkBlocked) as refused:
        connect(port)
    text = str(refused.value)
    assert f"127.0.0.1:{port}" in text
    assert f"tried at: {__file__}:" in text
    assert "TIMETRACER_LIVE_PLUGINS" in text
    assert refused.value.details["address"] == f"127.0.0.1:{port}"
    connect(port)


def test_a_library_is_named_by_its_package(port: int) -> None:
    """The innermost package that is neither the standard library's nor ours is the one that tried."""
    import httpx

    with fence.raise_fence(everywhere=True), pytest.raises(NetworkBlocked) as refused:
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
    assert refused.value.details["library"] == "httpcore"


@pytest.mark.parametrize("name", ["db.example", b"db.example"])
def test_names_are_not_resolved(name: str | bytes) -> None:
    """Not even a query for a name leaves the machine."""
    with fence.raise_fence(everywhere=True):
        for ask in (lambda: socket.getaddrinfo(name, 5432), lambda: socket.gethostbyname(name)):
            with pytest.raises(NetworkBlocked, match=r"db\.example"):
                ask()


def test_names_of_this_machine_are_resolved() -> None:
    """Servers resolve what they listen on."""
    with fence.raise_fence(everywhere=True):
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getaddrinfo("127.0.0.1", 80)
        assert socket.getaddrinfo(None, 80)
        assert socket.getfqdn("127.0.0.1")


def test_datagrams_are_refused(port: int) -> None:
    """UDP needs no connection to send something."""
    with fence.raise_fence(everywhere=True), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(NetworkBlocked):
            sock.sendto(b"x", ("127.0.0.1", port))
        with pytest.raises(NetworkBlocked):
            sock.sendmsg([b"x"], [], 0, ("127.0.0.1", port))
        with pytest.raises(NetworkBlocked):
            sock.connect(("127.0.0.1", port))


def test_serving_is_let_through() -> None:
    """Binding, listening and accepting reach out to nobody."""
    with fence.raise_fence(everywhere=False), socket.create_server(("127.0.0.1", 0)) as server:
        client = threading.Thread(target=connect, args=(server.getsockname()[1],))
        with fence.raise_fence(everywhere=True):
            assert server.getsockname()
        client.start()
        server.accept()[0].close()
        client.join()


def test_opentelemetrys_exporters_are_let_through(port: int) -> None:
    """Whatever runs under either of OTel's keys for suppressed instrumentation may connect."""
    with fence.raise_fence(everywhere=True):
        with suppress_instrumentation():
            connect(port)
        token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            connect(port)
        finally:
            context.detach(token)


def test_a_live_plugin_is_let_through(port: int) -> None:
    """The call of a plugin that stays live connects; a silent plugin's name alone opens nothing."""
    with fence.raise_fence(everywhere=True):
        with silenced(frozenset({LIVE})):
            connect(port)
        with silenced(frozenset({"redis"})), pytest.raises(NetworkBlocked):
            connect(port)


@pytest.mark.asyncio
async def test_a_live_plugin_resolves_through_asyncio() -> None:
    """asyncio resolves in a thread without context: who asked decides."""
    loop = asyncio.get_running_loop()
    with fence.raise_fence(everywhere=True):
        with silenced(frozenset({LIVE})), pytest.raises(socket.gaierror):
            await loop.getaddrinfo("no-such-host.invalid", 80)
        with pytest.raises(NetworkBlocked):
            await loop.getaddrinfo("no-such-host.invalid", 80)


@pytest.mark.asyncio
async def test_asyncio_connections_are_refused(port: int) -> None:
    """The event loop's sockets are the same sockets."""
    with fence.raise_fence(everywhere=True), pytest.raises(NetworkBlocked):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("pattern", ["127.0.0.1", "127.0.0.*", "127.0.0.1:{port}"])
def test_allowed_hosts_are_let_through(pattern: str, port: int) -> None:
    """A host is allowed by address or pattern, with or without a port."""
    with fence.raise_fence(everywhere=True, allowed_hosts=[pattern.format(port=port)]):
        connect(port)
        with pytest.raises(NetworkBlocked):
            connect(port, "127.1.0.1")


def test_an_allowed_name_allows_its_addresses(port: int) -> None:
    """A name is what users allow, and addresses are what sockets connect to."""
    with fence.raise_fence(everywhere=True, allowed_hosts=["localhost"]):
        connect(port, "localhost")


def test_unix_sockets_are_refused_unless_allowed(tmp_path: Path) -> None:
    """A database on a local path is a server, too; the stand-in peer's own path is allowed."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with fence.raise_fence(everywhere=True), socket.socket(socket.AF_UNIX) as client:
            with pytest.raises(NetworkBlocked, match=path):
                client.connect(path)
            fence.allow_path(path)
            client.connect(path)


def test_multiprocessing_works() -> None:
    """Its managers talk over unix sockets of their own."""
    with fence.raise_fence(everywhere=True), multiprocessing.get_context("spawn").Manager() as manager:
        assert manager.list([1, 2])[1] == 2


def test_within_a_replay_only_its_code_is_refused(port: int) -> None:
    """`timetracer.replay()` in one context leaves the rest of the process alone."""
    session = playing()
    with fence.raise_fence(everywhere=False):
        connect(port)
        with current(session), pytest.raises(NetworkBlocked):
            connect(port)
        with current(session), concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(connect, port).result()


def test_what_was_refused_is_kept_on_the_session(port: int) -> None:
    """A test fails though the app swallowed the error."""
    session = playing()
    with fence.raise_fence(everywhere=True), current(session), pytest.raises(NetworkBlocked) as refused:
        connect(port)
    assert session.marks.misses == [refused.value]


def test_two_replays_lower_their_own_fences(port: int) -> None:
    """The first of two concurrent replays to end leaves the other one fenced."""
    first = fence.raise_fence(everywhere=False)
    second = fence.raise_fence(everywhere=False)
    first.lower()
    first.lower()
    with current(playing()), pytest.raises(NetworkBlocked):
        connect(port)
    second.lower()
    assert not fence.is_raised()


def test_a_fence_that_is_down_looks_at_nothing() -> None:
    """The audit hook stays, and returns at once: it does not even look at what is connected."""

    class Untouched(tuple[object, ...]):
        def __getitem__(self, index: object) -> object:
            raise AssertionError("the hook looked at its arguments")

    fence.raise_fence(everywhere=True).lower()
    fence._hook("socket.connect", Untouched())


def test_uvloop_is_fenced_as_well(port: int, tmp_path: Path) -> None:
    """uvloop connects in C, where no audit event tells of it."""
    import uvloop

    async def reach() -> None:
        loop = asyncio.get_running_loop()
        for attempt in (
            lambda: loop.create_connection(asyncio.Protocol, "127.0.0.1", port),
            lambda: loop.create_connection(asyncio.Protocol, "localhost", port),
            lambda: loop.create_unix_connection(asyncio.Protocol, str(tmp_path / "s")),
            lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port)),
            lambda: loop.getaddrinfo("db.example", 5432),
        ):
            with pytest.raises(NetworkBlocked):
                await attempt()
        with silenced(frozenset({LIVE})):
            transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
            transport.close()

    with fence.raise_fence(everywhere=True), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(reach())
