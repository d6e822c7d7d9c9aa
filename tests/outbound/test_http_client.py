"""http.client and urllib.request in replay: values, chunks, exceptions and spans equal those seen live."""

from __future__ import annotations

import gc
import http.client
import inspect
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

import timetracer
from tests.outbound.http_recordings import record_http
from tests.outbound.suite import VARIANTS, Recordings, Suite, Variant
from tests.services import Upstream, start_upstream
from timetracer import Exhausted, ReplayError, UnsupportedError
from timetracer.cassette.store import read_cassette
from timetracer.engine.sessions import SESSIONS
from timetracer.runtime import episodes

SUITE = Suite("tests.outbound.steps.http_client", instrumentors=("urllib",))
CONNECTIONS = Suite("tests.outbound.steps.http_connections", instrumentors=("urllib", "urllib3", "requests"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings of urllib.request, made while the upstream ran."""
    return record_http(SUITE, tmp_path_factory.mktemp("http_client"))


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Both recordings of connections used by themselves."""
    return record_http(CONNECTIONS, tmp_path_factory.mktemp("http_connections"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """An upstream of this module's own."""
    upstream = start_upstream(tmp_path_factory.mktemp("http_client_upstream"))
    yield upstream
    upstream.stop()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_equals_live(recordings: Recordings, variant: Variant) -> None:
    """Whatever the steps saw live, they see again with the upstream gone."""
    SUITE.check(recordings, variant)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_replay_of_connections_equals_live(connections: Recordings, variant: Variant) -> None:
    """The same for `http.client` used by itself."""
    CONNECTIONS.check(connections, variant)


def _connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    return connection.getresponse().read()


def _post_by_hand(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.putrequest("POST", "/echo")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body)
    return connection.getresponse().read()


def _got(url: str, path: str) -> bytes:
    """One answer on a connection of its own."""
    with closing(_connect(url)) as connection:
        return _get(connection, path)


def test_nested_layers_are_captured_once(server: Upstream, tmp_path: Path) -> None:
    """requests and urllib3 own their connections; urllib.request's and one's own are captured here."""
    cassette = tmp_path / "c.json"

    def ask() -> list[bytes]:
        with requests.Session() as session, urllib3.PoolManager() as pool:
            session.trust_env = False
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{server.url}/json") as response:
                opened = response.read()
            return [
                session.get(f"{server.url}/json").content,
                pool.request("GET", f"{server.url}/json").data,
                opened,
                _got(server.url, "/json"),
            ]

    with timetracer.record(cassette):
        live = ask()
    kept = read_cassette(cassette)
    assert sorted(event.signature.lib for event in kept.events) == ["http_client", "http_client", "requests", "urllib3"]
    assert {event.signature.lib for event in kept.shared.values()} == {"http_client"}
    with timetracer.replay(cassette):
        assert ask() == live


def test_nothing_is_read_ahead(tmp_path: Path) -> None:
    """The server sends each part once the app has read the one before: a read-ahead would wait for ever."""
    read = threading.Semaphore(0)
    seen: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for part in (b"one", b"two", b""):
                    assert read.acquire(timeout=10)
                    connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))

        thread = threading.Thread(target=serve)
        thread.start()
        with timetracer.record(tmp_path / "c.json"):
            connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
            connection.request("GET", "/")
            response = connection.getresponse()
            for _ in range(3):
                read.release()
                seen.append(response.read1(100))
            connection.close()
        thread.join()
    assert seen == [b"one", b"two", b""]


def test_an_upload_by_hand_is_kept_up_to_the_limit(server: Upstream, tmp_path: Path) -> None:
    """A body sent in pieces is copied as it is sent, and not beyond the limit."""
    cassette, piece = tmp_path / "c.json", b"x" * 65536
    with timetracer.record(cassette, max_body_kb=100):
        connection = _connect(server.url)
        connection.putrequest("POST", "/upload")
        connection.putheader("Content-Length", str(16 * len(piece)))
        connection.endheaders()
        for _ in range(16):
            connection.send(piece)
        assert b'"size": 1048576' in connection.getresponse().read()
        connection.close()
    (event,) = read_cassette(cassette).events
    assert event.incomplete is not None
    assert "over the limit" in event.incomplete
    assert event.request.body is not None
    assert event.request.body.text == piece.decode()


def test_an_answer_may_come_before_the_body_is_sent(tmp_path: Path) -> None:
    """A server that refuses an upload half-way: sending fails, and its answer is there all the same, both times."""
    cassette, over = tmp_path / "c.json", threading.Event()

    def upload(port: int) -> tuple[str, int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)) as connection:
            body = (b"x" * 65536 for _ in range(300))
            with pytest.raises(TimeoutError) as caught:
                connection.request("PUT", "/", body, {"Content-Length": str(300 * 65536)})
            response = connection.getresponse()
            return str(caught.value), response.status, response.read()

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 413 Too Much\r\nContent-Length: 6\r\n\r\nenough")
                over.wait(10)

        thread = threading.Thread(target=refuse)
        thread.start()
        port = listening.getsockname()[1]
        with timetracer.record(cassette):
            live = upload(port)
        over.set()
        thread.join()
    assert live[1:] == (413, b"enough")
    with timetracer.replay(cassette):
        assert upload(port) == live


def test_a_connection_that_is_dropped_keeps_no_session_open(server: Upstream, tmp_path: Path) -> None:
    """Whoever asks and lets go of the connection waits for no answer, and nor does the cassette."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        connection = _connect(server.url)
        connection.request("GET", "/json")
        connection.sock.close()
        del connection
        gc.collect()
        session: Any = SESSIONS.current()
        assert (len(session._holds), session._open_bodies) == (1, 0)  # the scope's own hold
    (event,) = read_cassette(cassette).events
    assert (event.signature.method, event.incomplete) == ("GET", None)


def test_an_answer_that_was_not_asked_for_is_none(server: Upstream, tmp_path: Path) -> None:
    """A replay that asks for it is told, and never given another one's."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        connection = _connect(server.url)
        connection.request("GET", "/json")
        connection.close()
    with (
        pytest.raises(Exhausted, match="answers of this connection are all taken"),
        timetracer.replay(cassette),
        suppress(Exhausted),
    ):
        _got(server.url, "/json")


def test_what_was_not_recorded_is_a_miss(server: Upstream, tmp_path: Path) -> None:
    """A request of another body, however it was sent, is refused, and no socket is opened."""
    cassette = tmp_path / "c.json"

    def post(body: bytes) -> None:
        with closing(_connect(server.url)) as connection:
            _post_by_hand(connection, body)

    with timetracer.record(cassette):
        post(b"one")
    with (
        pytest.raises(ReplayError, match="body: recorded b'one', asked b'two'"),
        timetracer.replay(cassette),
    ):
        post(b"two")


def test_new_calls_on_a_kept_connection_are_recorded(server: Upstream, tmp_path: Path) -> None:
    """HTTP leaves nothing on a connection: where one call is known, the next may go live on it."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        known = _got(server.url, "/counter/new-calls")
    with episodes.episode(cassette, "new_episodes"):
        connection = _connect(server.url)
        assert _get(connection, "/counter/new-calls") == known
        connection.request("POST", "/upload", iter([b"a", b"b"]))
        assert b'"size": 2' in connection.getresponse().read()
        connection.close()
    assert [event.signature.method for event in read_cassette(cassette).events] == ["GET", "POST"]


def test_a_new_body_by_hand_is_a_miss_that_says_what_to_do(server: Upstream, tmp_path: Path) -> None:
    """Its head is sent before its body is known: it cannot go live any more."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        _got(server.url, "/json")
    with (
        pytest.raises(ReplayError) as caught,
        episodes.episode(cassette, "new_episodes"),
        closing(_connect(server.url)) as connection,
    ):
        _post_by_hand(connection, b"new")
    assert "record with `rewrite`" in "".join(caught.value.__notes__)


def test_the_socket_itself_is_not_there_in_replay(server: Upstream, tmp_path: Path) -> None:
    """Whoever reads from it is told so."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        _got(server.url, "/json")
    with timetracer.replay(cassette):
        connection = _connect(server.url)
        _get(connection, "/json")
        with pytest.raises(UnsupportedError, match="no `recv` in replay"):
            connection.sock.recv(1)


def test_it_stays_live_where_it_is_asked_to(server: Upstream, tmp_path: Path) -> None:
    """In a replay that has it live its connections are made; what stands on a live one's connections is as well."""
    cassette = tmp_path / "c.json"
    with timetracer.record(cassette):
        recorded = [_got(server.url, "/counter/live"), requests.get(f"{server.url}/counter/live", timeout=5).content]
    with timetracer.replay(cassette, live_plugins=["http_client"]):
        assert _got(server.url, "/counter/live") not in recorded
    with timetracer.replay(cassette, live_plugins=["requests"]):
        assert _got(server.url, "/counter/live") == recorded[0]
        assert requests.get(f"{server.url}/counter/live", timeout=5).content not in recorded


def test_private_names_are_where_they_were() -> None:
    """What is leaned on upstream without being promised there fails here, by name, when it moves."""
    connection = http.client.HTTPConnection("127.0.0.1", 1)
    connection.putrequest("GET", "/path", skip_host=True, skip_accept_encoding=True)
    connection.putheader("X-Two", "a", "b")
    assert connection._buffer == [b"GET /path HTTP/1.1", b"X-Two: a\r\n\tb"]
    connection.set_tunnel("elsewhere", 443)
    assert (connection._tunnel_host, connection._tunnel_port) == ("elsewhere", 443)
    if sys.version_info >= (3, 12):
        assert connection._raw_proxy_headers is None
    assert (http.client.HTTPConnection.default_port, http.client.HTTPSConnection.default_port) == (80, 443)
    assert list(inspect.signature(http.client.HTTPConnection.endheaders).parameters)[1:] == [
        "message_body",
        "encode_chunked",
    ]
